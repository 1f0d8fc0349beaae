SELECT e.clm_uniq_id, e.clm_type_cd, CAST(e.item ->> 'CLM_VAL_SQNC_NUM' AS INTEGER) AS clm_val_sqnc_num, e.item ->> 'CLM_PRCDR_CD' AS clm_prcdr_cd,
       e.item ->> 'CLM_DGNS_PRCDR_ICD_IND' AS clm_dgns_prcdr_icd_ind, e.item ->> 'CLM_PRCDR_PRFRM_DT' AS clm_prcdr_prfrm_dt
FROM procedures e
