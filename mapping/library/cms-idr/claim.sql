SELECT c.geo_bene_sk, c.clm_dt_sgntr_sk, c.clm_type_cd, c.clm_num_sk,
       p.person_sk, ltrim(c.clm_uniq_id, '0') AS public_id, CAST(c.clm_idr_ld_dt AS TIMESTAMP) AS loaded_ts,
       CASE WHEN c.clm_type_cd IN ('1', '2', '3', '4') THEN 'pharmacy'
            WHEN c.clm_type_cd IN ('71', '72', '81', '82') OR right(c.clm_type_cd, 3) IN ('700', '800') THEN 'professional'
            WHEN c.clm_type_cd = '40' THEN 'outpatient'
            WHEN length(c.clm_type_cd) = 2 OR right(c.clm_type_cd, 3) = '900'
              OR right(c.clm_type_cd, 2) IN ('11', '18', '21', '32', '33', '39', '41', '42', '66', '69', '81', '82', '91', '92', '98') THEN 'inpatient'
            ELSE 'outpatient' END AS kind,
       c.clm_src_id, c.clm_from_dt, c.clm_thru_dt, c.clm_pd_dt, c.clm_idr_ld_dt, c.clm_obslt_dt,
       coalesce(nullif(c.clm_efctv_dt, DATE '9999-12-31'), c.clm_idr_ld_dt) AS created_dt,
       c.clm_cntl_num, nullif(c.clm_orig_cntl_num, c.clm_cntl_num) AS clm_orig_cntl_num, c.clm_finl_actn_ind, c.clm_ltst_clm_ind,
       c.clm_disp_cd, c.clm_query_cd, c.clm_adjstmt_type_cd, c.clm_cntrctr_num, c.clm_nch_prmry_pyr_cd,
       c.clm_bill_fac_type_cd, b.bill_class, b.bill_class || nullif(c.clm_bill_freq_cd, '~') AS bill_freq,
       '0' || b.bill_class || nullif(c.clm_bill_freq_cd, '~') AS bill_type,
       c.clm_sbmtr_cntrct_num, c.clm_sbmtr_cntrct_pbp_num, c.clm_sbmt_frmt_cd,
       c.clm_sbmt_chrg_amt, c.clm_pmt_amt, c.clm_alowd_chrg_amt, c.clm_bene_pmt_amt, c.clm_prvdr_pmt_amt, c.clm_ncvrd_chrg_amt,
       c.clm_mdcr_ddctbl_amt, c.clm_mdcr_coinsrnc_amt, c.clm_bene_pmt_coinsrnc_amt, c.clm_blood_chrg_amt, c.clm_blood_lblty_amt,
       c.clm_blood_ncvrd_chrg_amt, c.clm_cob_ptnt_resp_amt, c.clm_prvdr_intrst_pd_amt, c.clm_prvdr_otaf_amt, c.clm_prvdr_rmng_due_amt,
       c.clm_tot_cntrctl_amt,
       CASE WHEN h.npi IS NULL OR h.prvdr_lgl_name IS NOT NULL OR b.institutional THEN b.npi END AS billing_org_npi,
       CASE WHEN h.npi IS NOT NULL AND h.prvdr_lgl_name IS NULL THEN b.npi END AS billing_person_npi,
       coalesce(nullif(trim(c.clm_blg_prvdr_oscar_num), '~'), '-') AS billing_ccn, coalesce(nullif(trim(c.clm_blg_prvdr_zip5_cd), '~'), '-') AS billing_zip,
       d.clm_submsn_dt, d.clm_cms_proc_dt, d.clm_nch_wkly_proc_dt, d.clm_actv_care_from_dt, d.clm_actv_care_thru_dt, d.clm_dschrg_dt,
       d.clm_ncvrd_from_dt, d.clm_ncvrd_thru_dt, d.clm_mdcr_exhstd_dt,
       CASE WHEN right(c.clm_type_cd, 3) IN ('700', '800') OR c.clm_type_cd IN ('71', '72', '81', '82') THEN coalesce(nullif(c.clm_ric_cd, '~'), m.clm_nrln_ric_cd) ELSE m.clm_nrln_ric_cd END AS clm_nrln_ric_cd,
       coalesce(nullif(d.clm_actv_care_from_dt, DATE '9999-12-31'), c.clm_from_dt) AS admitted_dt,
       i.clm_num_sk IS NOT NULL AS has_instnl,
       i.clm_admsn_type_cd, i.clm_admsn_src_cd, i.bene_ptnt_stus_cd, i.dgns_drg_cd, i.clm_fi_actn_cd, i.clm_mdcr_instnl_mco_pd_sw,
       i.clm_mdcr_npmt_rsn_cd, i.clm_hha_rfrl_cd, i.clm_hha_lup_ind_cd, i.clm_pps_ind_cd, i.clm_mdcr_ip_lrd_use_cnt, i.clm_instnl_mdcr_coins_day_cnt,
       i.clm_instnl_ncvrd_day_cnt, i.clm_mdcr_hospc_prd_cnt, i.clm_mdcr_hha_tot_visit_cnt, i.clm_mdcr_ip_pps_drg_wt_num, i.clm_instnl_cvrd_day_cnt,
       i.clm_instnl_per_diem_amt, i.clm_mdcr_ip_pps_dsprprtnt_amt, i.clm_mdcr_ip_pps_excptn_amt, i.clm_mdcr_ip_pps_cptl_fsp_amt,
       i.clm_mdcr_ip_pps_cptl_ime_amt, i.clm_mdcr_ip_pps_outlier_amt, i.clm_mdcr_ip_pps_cptl_hrmls_amt, i.clm_mdcr_ip_pps_cptl_tot_amt,
       i.clm_mdcr_instnl_prmry_pyr_amt, i.clm_instnl_prfnl_amt, i.clm_instnl_drg_outlier_amt, i.clm_hipps_uncompd_care_amt,
       i.clm_mdcr_ip_bene_ddctbl_amt, i.clm_finl_stdzd_pymt_amt, i.clm_mdcr_instnl_bene_pd_amt,
       f.clm_carr_pmt_dnl_cd, f.clm_mdcr_prfnl_prvdr_asgnmt_sw, f.clm_clncl_tril_num, f.clm_mdcr_prfnl_prmry_pyr_amt,
       f.clm_prvdr_acnt_rcvbl_ofst_amt,
       f.clm_num_sk IS NOT NULL AS has_prfnl,
       v.clm_oprtnl_dsprtnt_amt, v.clm_oprtnl_ime_amt, r.tot_rx_cst_amt, r.clm_prcng_excptn_cd, r.clm_line_days_suply_qty, r.clm_daw_prod_slctn_cd, r.clm_line_rx_fill_num,
       r.clm_line_authrzd_fill_num, r.clm_line_rx_orgn_cd, r.clm_brnd_gnrc_cd, r.clm_cmpnd_cd,
       a.audit_status, CASE WHEN c.clm_src_id = '23000' THEN coalesce(a.audit_location, '-') ELSE '-' END AS audit_location,
       pa.person_sk AS part_a_sk, pb.person_sk AS part_b_sk, pd.person_sk AS part_d_sk,
       CASE WHEN pd.person_sk IS NOT NULL THEN c.clm_sbmtr_cntrct_num END AS part_d_contract,
       CASE WHEN pd.person_sk IS NOT NULL THEN c.clm_sbmtr_cntrct_pbp_num END AS part_d_plan
FROM idr.clm c
JOIN person_key p ON p.bene_sk = c.bene_sk
JOIN (SELECT geo_bene_sk, clm_dt_sgntr_sk, clm_type_cd, clm_num_sk,
             nullif(clm_bill_fac_type_cd, '~') || nullif(clm_bill_clsfctn_cd, '~') AS bill_class,
             coalesce(prvdr_blg_prvdr_npi_num, split_part(clm_srvc_prvdr_gnrc_id_num, '.', 1)) AS npi,
             length(clm_type_cd) > 1 AND clm_type_cd NOT IN ('71', '72', '81', '82') AND right(clm_type_cd, 3) NOT IN ('700', '800') AS institutional
      FROM idr.clm) b ON b.geo_bene_sk = c.geo_bene_sk AND b.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND b.clm_type_cd = c.clm_type_cd AND b.clm_num_sk = c.clm_num_sk
LEFT JOIN known_provider h ON h.npi = b.npi
LEFT JOIN idr.clm_dt_sgntr d ON d.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk
LEFT JOIN idr.clm_dcmtn m ON m.geo_bene_sk = c.geo_bene_sk AND m.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND m.clm_type_cd = c.clm_type_cd AND m.clm_num_sk = c.clm_num_sk
LEFT JOIN idr.clm_instnl i ON i.geo_bene_sk = c.geo_bene_sk AND i.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND i.clm_type_cd = c.clm_type_cd AND i.clm_num_sk = c.clm_num_sk
LEFT JOIN idr.clm_prfnl f ON f.geo_bene_sk = c.geo_bene_sk AND f.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND f.clm_type_cd = c.clm_type_cd AND f.clm_num_sk = c.clm_num_sk
LEFT JOIN (SELECT geo_bene_sk, clm_dt_sgntr_sk, clm_type_cd, clm_num_sk,
                  sum(clm_val_amt) FILTER (WHERE clm_val_cd = '18') AS clm_oprtnl_dsprtnt_amt, sum(clm_val_amt) FILTER (WHERE clm_val_cd = '19') AS clm_oprtnl_ime_amt
           FROM idr.clm_val GROUP BY geo_bene_sk, clm_dt_sgntr_sk, clm_type_cd, clm_num_sk) v ON v.geo_bene_sk = c.geo_bene_sk AND v.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND v.clm_type_cd = c.clm_type_cd AND v.clm_num_sk = c.clm_num_sk
LEFT JOIN (SELECT x.geo_bene_sk, x.clm_dt_sgntr_sk, x.clm_type_cd, x.clm_num_sk,
                  sum(coalesce(x.clm_line_ingrdnt_cst_amt, 0) + coalesce(x.clm_line_srvc_cst_amt, 0) + coalesce(x.clm_line_sls_tax_amt, 0) + coalesce(x.clm_line_vccn_admin_fee_amt, 0)) AS tot_rx_cst_amt,
                  max(x.clm_prcng_excptn_cd) AS clm_prcng_excptn_cd, max(x.clm_line_days_suply_qty) AS clm_line_days_suply_qty, max(x.clm_daw_prod_slctn_cd) AS clm_daw_prod_slctn_cd,
                  max(x.clm_line_rx_fill_num) AS clm_line_rx_fill_num, max(x.clm_line_authrzd_fill_num) AS clm_line_authrzd_fill_num, max(x.clm_line_rx_orgn_cd) AS clm_line_rx_orgn_cd,
                  max(x.clm_brnd_gnrc_cd) AS clm_brnd_gnrc_cd, max(x.clm_cmpnd_cd) AS clm_cmpnd_cd
           FROM idr.clm_line_rx x
           JOIN idr.clm_line l ON l.geo_bene_sk = x.geo_bene_sk AND l.clm_dt_sgntr_sk = x.clm_dt_sgntr_sk AND l.clm_type_cd = x.clm_type_cd AND l.clm_num_sk = x.clm_num_sk AND l.clm_line_num = x.clm_line_num
           GROUP BY x.geo_bene_sk, x.clm_dt_sgntr_sk, x.clm_type_cd, x.clm_num_sk) r ON r.geo_bene_sk = c.geo_bene_sk AND r.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND r.clm_type_cd = c.clm_type_cd AND r.clm_num_sk = c.clm_num_sk
LEFT JOIN (SELECT coalesce(x.geo_bene_sk, y.geo_bene_sk) AS geo_bene_sk, coalesce(x.clm_dt_sgntr_sk, y.clm_dt_sgntr_sk) AS clm_dt_sgntr_sk,
                  coalesce(x.clm_type_cd, y.clm_type_cd) AS clm_type_cd, coalesce(x.clm_num_sk, y.clm_num_sk) AS clm_num_sk,
                  coalesce(nullif(x.clm_audt_trl_stus_cd, '~'), y.clm_crnt_stus_cd) AS audit_status, nullif(x.clm_audt_trl_lctn_cd, '~') AS audit_location
           FROM (SELECT z.*, row_number() OVER (PARTITION BY z.geo_bene_sk, z.clm_dt_sgntr_sk, z.clm_type_cd, z.clm_num_sk ORDER BY z.clm_lctn_cd_sqnc_num DESC) AS latest FROM idr.clm_lctn_hstry z) x
           FULL JOIN idr.clm_fiss y ON y.geo_bene_sk = x.geo_bene_sk AND y.clm_dt_sgntr_sk = x.clm_dt_sgntr_sk AND y.clm_type_cd = x.clm_type_cd AND y.clm_num_sk = x.clm_num_sk AND x.latest = 1
           WHERE coalesce(x.latest, 1) = 1) a ON a.geo_bene_sk = c.geo_bene_sk AND a.clm_dt_sgntr_sk = c.clm_dt_sgntr_sk AND a.clm_type_cd = c.clm_type_cd AND a.clm_num_sk = c.clm_num_sk
LEFT JOIN (SELECT DISTINCT person_sk FROM entitled WHERE part = 'A') pa ON pa.person_sk = p.person_sk
LEFT JOIN (SELECT DISTINCT person_sk FROM entitled WHERE part = 'B') pb ON pb.person_sk = p.person_sk
LEFT JOIN (SELECT DISTINCT person_sk, bene_cntrct_num, bene_pbp_num FROM plan_version WHERE bene_enrlmt_pgm_type_cd IN ('2', '3')) pd
  ON pd.person_sk = p.person_sk AND pd.bene_cntrct_num = c.clm_sbmtr_cntrct_num AND pd.bene_pbp_num = c.clm_sbmtr_cntrct_pbp_num
