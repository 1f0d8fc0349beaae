-- One row a revenue line of the five institutional layouts: the lines of the
-- delivery that the claim's header is taken from. A code beside the revenue
-- codes of prospective payment is a HIPPS code; one that begins with four digits is
-- CPT. ANSI codes are a group code of two letters and a CARC.
SELECT l.*,
       substr(l.rev_cntr_1st_ansi_cd, 3) AS carc_1, substr(l.rev_cntr_2nd_ansi_cd, 3) AS carc_2,
       substr(l.rev_cntr_3rd_ansi_cd, 3) AS carc_3, substr(l.rev_cntr_4th_ansi_cd, 3) AS carc_4,
       CASE WHEN l.rev_cntr IN ('0022', '0023', '0024') THEN 'hipps'
            WHEN substr(l.hcpcs_cd, 1, 4) BETWEEN '0000' AND '9999' THEN 'cpt' ELSE 'hcpcs' END AS hcpcs_system
FROM (SELECT u.*,
             rank() OVER (PARTITION BY u.bene_id, u.layout, u.clm_id
                          ORDER BY u.delivery DESC, CASE u.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC) AS version_rank
      FROM (
  SELECT 'inpatient' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.clm_line_num, x.rev_cntr, x.hcpcs_cd, x.rev_cntr_unit_cnt,
         x.rev_cntr_rate_amt, x.rev_cntr_tot_chrg_amt, x.rev_cntr_ncvrd_chrg_amt, x.rev_cntr_ddctbl_coinsrnc_cd, x.rev_cntr_ndc_qty,
         x.rev_cntr_ndc_qty_qlfr_cd, x.rndrng_physn_npi, NULL AS rev_cntr_dt, NULL AS rev_cntr_1st_ansi_cd, NULL AS rev_cntr_2nd_ansi_cd, NULL AS
         rev_cntr_3rd_ansi_cd, NULL AS rev_cntr_4th_ansi_cd, NULL AS rev_cntr_apc_hipps_cd, NULL AS hcpcs_1st_mdfr_cd, NULL AS hcpcs_2nd_mdfr_cd, NULL
         AS rev_cntr_pmt_mthd_ind_cd, NULL AS rev_cntr_dscnt_ind_cd, NULL AS rev_cntr_packg_ind_cd, NULL AS rev_cntr_otaf_pmt_cd, NULL AS
         rev_cntr_ide_ndc_upc_num, NULL AS rev_cntr_blood_ddctbl_amt, NULL AS rev_cntr_cash_ddctbl_amt, NULL AS rev_cntr_coinsrnc_wge_adjstd_c, NULL
         AS rev_cntr_rdcd_coinsrnc_amt, NULL AS rev_cntr_1st_msp_pd_amt, NULL AS rev_cntr_2nd_msp_pd_amt, NULL AS rev_cntr_prvdr_pmt_amt, NULL AS
         rev_cntr_bene_pmt_amt, NULL AS rev_cntr_ptnt_rspnsblty_pmt, NULL AS rev_cntr_pmt_amt_amt, NULL AS rev_cntr_stus_ind_cd
  FROM rif.inpatient x
  UNION ALL
  SELECT 'snf' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.clm_line_num, x.rev_cntr, x.hcpcs_cd, x.rev_cntr_unit_cnt,
         x.rev_cntr_rate_amt, x.rev_cntr_tot_chrg_amt, x.rev_cntr_ncvrd_chrg_amt, x.rev_cntr_ddctbl_coinsrnc_cd, x.rev_cntr_ndc_qty,
         x.rev_cntr_ndc_qty_qlfr_cd, x.rndrng_physn_npi, NULL AS rev_cntr_dt, NULL AS rev_cntr_1st_ansi_cd, NULL AS rev_cntr_2nd_ansi_cd, NULL AS
         rev_cntr_3rd_ansi_cd, NULL AS rev_cntr_4th_ansi_cd, NULL AS rev_cntr_apc_hipps_cd, NULL AS hcpcs_1st_mdfr_cd, NULL AS hcpcs_2nd_mdfr_cd, NULL
         AS rev_cntr_pmt_mthd_ind_cd, NULL AS rev_cntr_dscnt_ind_cd, NULL AS rev_cntr_packg_ind_cd, NULL AS rev_cntr_otaf_pmt_cd, NULL AS
         rev_cntr_ide_ndc_upc_num, NULL AS rev_cntr_blood_ddctbl_amt, NULL AS rev_cntr_cash_ddctbl_amt, NULL AS rev_cntr_coinsrnc_wge_adjstd_c, NULL
         AS rev_cntr_rdcd_coinsrnc_amt, NULL AS rev_cntr_1st_msp_pd_amt, NULL AS rev_cntr_2nd_msp_pd_amt, NULL AS rev_cntr_prvdr_pmt_amt, NULL AS
         rev_cntr_bene_pmt_amt, NULL AS rev_cntr_ptnt_rspnsblty_pmt, NULL AS rev_cntr_pmt_amt_amt, NULL AS rev_cntr_stus_ind_cd
  FROM rif.snf x
  UNION ALL
  SELECT 'outpatient' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.clm_line_num, x.rev_cntr, x.hcpcs_cd, x.rev_cntr_unit_cnt,
         x.rev_cntr_rate_amt, x.rev_cntr_tot_chrg_amt, x.rev_cntr_ncvrd_chrg_amt, NULL AS rev_cntr_ddctbl_coinsrnc_cd, x.rev_cntr_ndc_qty,
         x.rev_cntr_ndc_qty_qlfr_cd, x.rndrng_physn_npi, x.rev_cntr_dt, x.rev_cntr_1st_ansi_cd, x.rev_cntr_2nd_ansi_cd, x.rev_cntr_3rd_ansi_cd,
         x.rev_cntr_4th_ansi_cd, x.rev_cntr_apc_hipps_cd, x.hcpcs_1st_mdfr_cd, x.hcpcs_2nd_mdfr_cd, x.rev_cntr_pmt_mthd_ind_cd,
         x.rev_cntr_dscnt_ind_cd, x.rev_cntr_packg_ind_cd, x.rev_cntr_otaf_pmt_cd, x.rev_cntr_ide_ndc_upc_num, x.rev_cntr_blood_ddctbl_amt,
         x.rev_cntr_cash_ddctbl_amt, x.rev_cntr_coinsrnc_wge_adjstd_c, x.rev_cntr_rdcd_coinsrnc_amt, x.rev_cntr_1st_msp_pd_amt,
         x.rev_cntr_2nd_msp_pd_amt, x.rev_cntr_prvdr_pmt_amt, x.rev_cntr_bene_pmt_amt, x.rev_cntr_ptnt_rspnsblty_pmt, x.rev_cntr_pmt_amt_amt,
         x.rev_cntr_stus_ind_cd
  FROM rif.outpatient x
  UNION ALL
  SELECT 'hha' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.clm_line_num, x.rev_cntr, x.hcpcs_cd, x.rev_cntr_unit_cnt,
         x.rev_cntr_rate_amt, x.rev_cntr_tot_chrg_amt, x.rev_cntr_ncvrd_chrg_amt, x.rev_cntr_ddctbl_coinsrnc_cd, x.rev_cntr_ndc_qty,
         x.rev_cntr_ndc_qty_qlfr_cd, x.rndrng_physn_npi, x.rev_cntr_dt, x.rev_cntr_1st_ansi_cd, NULL AS rev_cntr_2nd_ansi_cd, NULL AS
         rev_cntr_3rd_ansi_cd, NULL AS rev_cntr_4th_ansi_cd, x.rev_cntr_apc_hipps_cd, x.hcpcs_1st_mdfr_cd, x.hcpcs_2nd_mdfr_cd,
         x.rev_cntr_pmt_mthd_ind_cd, NULL AS rev_cntr_dscnt_ind_cd, NULL AS rev_cntr_packg_ind_cd, NULL AS rev_cntr_otaf_pmt_cd, NULL AS
         rev_cntr_ide_ndc_upc_num, NULL AS rev_cntr_blood_ddctbl_amt, NULL AS rev_cntr_cash_ddctbl_amt, NULL AS rev_cntr_coinsrnc_wge_adjstd_c, NULL
         AS rev_cntr_rdcd_coinsrnc_amt, NULL AS rev_cntr_1st_msp_pd_amt, NULL AS rev_cntr_2nd_msp_pd_amt, NULL AS rev_cntr_prvdr_pmt_amt, NULL AS
         rev_cntr_bene_pmt_amt, NULL AS rev_cntr_ptnt_rspnsblty_pmt, x.rev_cntr_pmt_amt_amt, x.rev_cntr_stus_ind_cd
  FROM rif.hha x
  UNION ALL
  SELECT 'hospice' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.clm_line_num, x.rev_cntr, x.hcpcs_cd, x.rev_cntr_unit_cnt,
         x.rev_cntr_rate_amt, x.rev_cntr_tot_chrg_amt, x.rev_cntr_ncvrd_chrg_amt, x.rev_cntr_ddctbl_coinsrnc_cd, x.rev_cntr_ndc_qty,
         x.rev_cntr_ndc_qty_qlfr_cd, x.rndrng_physn_npi, x.rev_cntr_dt, NULL AS rev_cntr_1st_ansi_cd, NULL AS rev_cntr_2nd_ansi_cd, NULL AS
         rev_cntr_3rd_ansi_cd, NULL AS rev_cntr_4th_ansi_cd, NULL AS rev_cntr_apc_hipps_cd, x.hcpcs_1st_mdfr_cd, x.hcpcs_2nd_mdfr_cd, NULL AS
         rev_cntr_pmt_mthd_ind_cd, NULL AS rev_cntr_dscnt_ind_cd, NULL AS rev_cntr_packg_ind_cd, NULL AS rev_cntr_otaf_pmt_cd, NULL AS
         rev_cntr_ide_ndc_upc_num, NULL AS rev_cntr_blood_ddctbl_amt, NULL AS rev_cntr_cash_ddctbl_amt, NULL AS rev_cntr_coinsrnc_wge_adjstd_c, NULL
         AS rev_cntr_rdcd_coinsrnc_amt, NULL AS rev_cntr_1st_msp_pd_amt, NULL AS rev_cntr_2nd_msp_pd_amt, x.rev_cntr_prvdr_pmt_amt,
         x.rev_cntr_bene_pmt_amt, NULL AS rev_cntr_ptnt_rspnsblty_pmt, x.rev_cntr_pmt_amt_amt, NULL AS rev_cntr_stus_ind_cd
  FROM rif.hospice x
      ) u) l
WHERE l.version_rank = 1
