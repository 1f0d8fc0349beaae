-- One row a line of the two professional layouts: the lines of the delivery that
-- the claim's header is taken from. Of HCPCS codes, those that begin with four
-- digits are CPT.
SELECT l.*,
       CASE WHEN substr(l.hcpcs_cd, 1, 4) BETWEEN '0000' AND '9999' THEN 'cpt' ELSE 'hcpcs' END AS hcpcs_system
FROM (SELECT u.*,
             rank() OVER (PARTITION BY u.bene_id, u.layout, u.clm_id
                          ORDER BY u.delivery DESC, CASE u.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC) AS version_rank
      FROM (
  SELECT 'carrier' AS layout, x.delivery, CAST(x.line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, x.carr_prfrng_pin_num, x.prf_physn_npi, x.org_npi_num,
         x.carr_line_prvdr_type_cd, x.tax_num, x.prvdr_state_cd, x.prvdr_zip, x.prvdr_spclty, x.prtcptng_ind_cd, x.carr_line_rdcd_pmt_phys_astn_c,
         x.line_srvc_cnt, x.line_cms_type_srvc_cd, x.line_place_of_srvc_cd, x.carr_line_prcng_lclty_cd, x.line_1st_expns_dt, x.line_last_expns_dt,
         x.hcpcs_cd, x.hcpcs_1st_mdfr_cd, x.hcpcs_2nd_mdfr_cd, x.betos_cd, x.line_nch_pmt_amt, x.line_bene_pmt_amt, x.line_prvdr_pmt_amt,
         x.line_bene_ptb_ddctbl_amt, x.line_bene_prmry_pyr_cd, x.line_bene_prmry_pyr_pd_amt, x.line_coinsrnc_amt, x.line_sbmtd_chrg_amt,
         x.line_alowd_chrg_amt, x.line_prcsg_ind_cd, x.line_pmt_80_100_cd, x.line_service_deductible, x.carr_line_mtus_cnt, x.carr_line_mtus_cd,
         x.line_icd_dgns_cd, x.line_icd_dgns_vrsn_cd, x.hpsa_scrcty_ind_cd, x.carr_line_rx_num, x.line_hct_hgb_rslt_num, x.line_hct_hgb_type_cd,
         x.line_ndc_cd, x.carr_line_clia_lab_num, x.carr_line_ansthsa_unit_cnt, NULL AS line_prmry_alowd_chrg_amt, NULL AS line_dme_prchs_price_amt,
         NULL AS prvdr_num, NULL AS prvdr_npi, NULL AS dmerc_line_prcng_state_cd, NULL AS dmerc_line_supplr_type_cd, NULL AS hcpcs_3rd_mdfr_cd, NULL
         AS hcpcs_4th_mdfr_cd, NULL AS dmerc_line_scrn_svgs_amt, NULL AS dmerc_line_mtus_cnt, NULL AS dmerc_line_mtus_cd
  FROM rif.carrier x
  UNION ALL
  SELECT 'dme' AS layout, x.delivery, CAST(x.line_num AS INTEGER) AS line_no, x.bene_id, x.clm_id, x.dml_ind, NULL AS carr_prfrng_pin_num, NULL AS prf_physn_npi, NULL AS org_npi_num, NULL AS
         carr_line_prvdr_type_cd, x.tax_num, x.prvdr_state_cd, NULL AS prvdr_zip, x.prvdr_spclty, x.prtcptng_ind_cd, NULL AS
         carr_line_rdcd_pmt_phys_astn_c, x.line_srvc_cnt, x.line_cms_type_srvc_cd, x.line_place_of_srvc_cd, NULL AS carr_line_prcng_lclty_cd,
         x.line_1st_expns_dt, x.line_last_expns_dt, x.hcpcs_cd, x.hcpcs_1st_mdfr_cd, x.hcpcs_2nd_mdfr_cd, x.betos_cd, x.line_nch_pmt_amt,
         x.line_bene_pmt_amt, x.line_prvdr_pmt_amt, x.line_bene_ptb_ddctbl_amt, x.line_bene_prmry_pyr_cd, x.line_bene_prmry_pyr_pd_amt,
         x.line_coinsrnc_amt, x.line_sbmtd_chrg_amt, x.line_alowd_chrg_amt, x.line_prcsg_ind_cd, x.line_pmt_80_100_cd, x.line_service_deductible, NULL
         AS carr_line_mtus_cnt, NULL AS carr_line_mtus_cd, x.line_icd_dgns_cd, x.line_icd_dgns_vrsn_cd, NULL AS hpsa_scrcty_ind_cd, NULL AS
         carr_line_rx_num, x.line_hct_hgb_rslt_num, x.line_hct_hgb_type_cd, x.line_ndc_cd, NULL AS carr_line_clia_lab_num, NULL AS
         carr_line_ansthsa_unit_cnt, x.line_prmry_alowd_chrg_amt, x.line_dme_prchs_price_amt, x.prvdr_num, x.prvdr_npi, x.dmerc_line_prcng_state_cd,
         x.dmerc_line_supplr_type_cd, x.hcpcs_3rd_mdfr_cd, x.hcpcs_4th_mdfr_cd, x.dmerc_line_scrn_svgs_amt, x.dmerc_line_mtus_cnt,
         x.dmerc_line_mtus_cd
  FROM rif.dme x
      ) u) l
WHERE l.version_rank = 1
