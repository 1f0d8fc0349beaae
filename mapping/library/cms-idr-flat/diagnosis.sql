SELECT d.*, CASE WHEN d.clm_prod_type_cd IN ('E', '1') THEN 'E' ELSE d.clm_prod_type_cd END AS role,
       CASE d.clm_prod_type_cd WHEN 'P' THEN 1 WHEN 'A' THEN 2 WHEN '1' THEN 3 WHEN 'E' THEN 4 ELSE 5 END AS rank
FROM (SELECT e.clm_uniq_id, e.clm_type_cd, CAST(e.diagnosis ->> 'CLM_VAL_SQNC_NUM' AS INTEGER) AS clm_val_sqnc_num, e.diagnosis ->> 'CLM_DGNS_CD' AS clm_dgns_cd,
             e.diagnosis ->> 'CLM_DGNS_PRCDR_ICD_IND' AS clm_dgns_prcdr_icd_ind, e.diagnosis ->> 'CLM_PROD_TYPE_CD' AS clm_prod_type_cd, e.diagnosis ->> 'CLM_POA_IND' AS clm_poa_ind
      FROM diagnoses e) d
