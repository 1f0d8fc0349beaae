-- One row a claim of the two professional layouts, header columns alone; the
-- supplier of the first line stands for the billing provider where the header
-- names none. The latest delivery of a claim wins; a deleted claim and one that is
-- not the final action are left out.
SELECT c.*
FROM (SELECT u.*,
             row_number() OVER (PARTITION BY u.bene_id, u.layout, u.clm_id
                                ORDER BY u.delivery DESC, CASE u.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC,
                                         u.line_rank) AS version_rank
      FROM (
  SELECT 'carrier' AS layout, x.delivery, CAST(x.line_num AS INTEGER) AS line_rank, x.org_npi_num AS line_org_npi, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd,
         x.nch_clm_type_cd, x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.carr_clm_entry_cd, x.clm_disp_cd, x.carr_num, x.carr_clm_pmt_dnl_cd,
         x.clm_pmt_amt, x.carr_clm_prmry_pyr_pd_amt, x.rfr_physn_npi, x.carr_clm_prvdr_asgnmt_ind_sw, x.nch_clm_prvdr_pmt_amt, x.nch_clm_bene_pmt_amt,
         x.nch_carr_clm_sbmtd_chrg_amt, x.nch_carr_clm_alowd_amt, x.carr_clm_cash_ddctbl_apld_amt, x.carr_clm_hcpcs_yr_cd, x.carr_clm_rfrng_pin_num,
         x.prncpal_dgns_cd, x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, x.icd_dgns_cd3,
         x.icd_dgns_vrsn_cd3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, x.icd_dgns_cd6, x.icd_dgns_vrsn_cd6,
         x.icd_dgns_cd7, x.icd_dgns_vrsn_cd7, x.icd_dgns_cd8, x.icd_dgns_vrsn_cd8, x.icd_dgns_cd9, x.icd_dgns_vrsn_cd9, x.icd_dgns_cd10,
         x.icd_dgns_vrsn_cd10, x.icd_dgns_cd11, x.icd_dgns_vrsn_cd11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, x.clm_clncl_tril_num,
         x.carr_clm_cntl_num, x.carr_clm_blg_npi_num
  FROM rif.carrier x
  UNION ALL
  SELECT 'dme' AS layout, x.delivery, CAST(x.line_num AS INTEGER) AS line_rank, x.prvdr_npi AS line_org_npi, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd, x.nch_clm_type_cd,
         x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.carr_clm_entry_cd, x.clm_disp_cd, x.carr_num, x.carr_clm_pmt_dnl_cd, x.clm_pmt_amt,
         x.carr_clm_prmry_pyr_pd_amt, x.rfr_physn_npi, x.carr_clm_prvdr_asgnmt_ind_sw, x.nch_clm_prvdr_pmt_amt, x.nch_clm_bene_pmt_amt,
         x.nch_carr_clm_sbmtd_chrg_amt, x.nch_carr_clm_alowd_amt, x.carr_clm_cash_ddctbl_apld_amt, x.carr_clm_hcpcs_yr_cd, NULL AS
         carr_clm_rfrng_pin_num, x.prncpal_dgns_cd, x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2,
         x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, x.icd_dgns_cd6,
         x.icd_dgns_vrsn_cd6, x.icd_dgns_cd7, x.icd_dgns_vrsn_cd7, x.icd_dgns_cd8, x.icd_dgns_vrsn_cd8, x.icd_dgns_cd9, x.icd_dgns_vrsn_cd9,
         x.icd_dgns_cd10, x.icd_dgns_vrsn_cd10, x.icd_dgns_cd11, x.icd_dgns_vrsn_cd11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, x.clm_clncl_tril_num,
         x.carr_clm_cntl_num, NULL AS carr_clm_blg_npi_num
  FROM rif.dme x
      ) u) c
WHERE c.version_rank = 1 AND c.dml_ind <> 'DELETE' AND c.final_action = 'F'
