-- One row a claim of the five institutional layouts, header columns alone. The
-- latest delivery of a claim wins; a deleted claim and one that is not the final
-- action are left out. A layout that lacks a column has NULL there.
SELECT c.*,
       CASE WHEN c.layout IN ('inpatient', 'snf') THEN 'inpatient' ELSE 'outpatient' END AS eob_kind,
       CASE WHEN c.layout IN ('inpatient', 'snf') THEN 'part-a' ELSE 'part-b' END AS part,
       coalesce(nullif(trim(c.clm_admsn_dt), ''), c.clm_from_dt) AS stay_start,
       coalesce(nullif(trim(c.nch_bene_dschrg_dt), ''), c.clm_thru_dt) AS stay_end,
       CASE WHEN c.layout = 'hha' THEN c.clm_admsn_dt WHEN c.layout = 'hospice' THEN c.clm_hospc_start_dt_id END AS episode_start,
       CASE WHEN c.layout IN ('hha', 'hospice') THEN c.nch_bene_dschrg_dt END AS episode_end,
       CASE WHEN c.prncpal_dgns_cd = c.icd_dgns_cd1 THEN c.clm_poa_ind_sw1 END AS prncpal_poa,
       CASE WHEN c.fst_dgns_e_cd = c.icd_dgns_e_cd1 THEN c.clm_e_poa_ind_sw1 END AS first_cause_poa,
       '0' || trim(c.clm_fac_type_cd) || trim(c.clm_srvc_clsfctn_type_cd) || trim(c.clm_freq_cd) AS bill_type
FROM (SELECT u.*,
             row_number() OVER (PARTITION BY u.bene_id, u.layout, u.clm_id
                                ORDER BY u.delivery DESC, CASE u.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC,
                                         u.line_rank) AS version_rank
      FROM (
  SELECT 'inpatient' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_rank, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd,
         x.nch_clm_type_cd, x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.fi_clm_proc_dt, x.claim_query_code, x.prvdr_num, x.clm_fac_type_cd,
         x.clm_srvc_clsfctn_type_cd, x.clm_freq_cd, x.fi_num, x.clm_mdcr_non_pmt_rsn_cd, x.clm_pmt_amt, x.nch_prmry_pyr_clm_pd_amt,
         x.nch_prmry_pyr_cd, x.fi_clm_actn_cd, x.prvdr_state_cd, x.org_npi_num, x.at_physn_npi, x.op_physn_npi, x.ot_physn_npi, x.clm_mco_pd_sw,
         x.ptnt_dschrg_stus_cd, x.clm_pps_ind_cd, x.clm_tot_chrg_amt, x.clm_admsn_dt, x.clm_ip_admsn_type_cd, x.clm_src_ip_admsn_cd,
         x.nch_ptnt_status_ind_cd, x.clm_pass_thru_per_diem_amt, x.nch_bene_ip_ddctbl_amt, x.nch_bene_pta_coinsrnc_lblty_am,
         x.nch_bene_blood_ddctbl_lblty_am, x.nch_profnl_cmpnt_chrg_amt, x.nch_ip_ncvrd_chrg_amt, x.nch_ip_tot_ddctn_amt, x.clm_tot_pps_cptl_amt,
         x.clm_pps_cptl_fsp_amt, x.clm_pps_cptl_outlier_amt, x.clm_pps_cptl_dsprprtnt_shr_amt, x.clm_pps_cptl_ime_amt, x.clm_pps_cptl_excptn_amt,
         x.clm_pps_old_cptl_hld_hrmls_amt, x.clm_pps_cptl_drg_wt_num, x.clm_utlztn_day_cnt, x.bene_tot_coinsrnc_days_cnt, x.bene_lrd_used_cnt,
         x.clm_non_utlztn_days_cnt, x.nch_blood_pnts_frnshd_qty, x.nch_vrfd_ncvrd_stay_from_dt, x.nch_vrfd_ncvrd_stay_thru_dt,
         x.nch_actv_or_cvrd_lvl_care_thru, x.nch_bene_mdcr_bnfts_exhtd_dt_i, x.nch_bene_dschrg_dt, x.clm_drg_cd, x.clm_drg_outlier_stay_cd,
         x.nch_drg_outlier_aprvd_pmt_amt, x.admtg_dgns_cd, x.admtg_dgns_vrsn_cd, x.prncpal_dgns_cd, x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1,
         x.icd_dgns_vrsn_cd1, x.clm_poa_ind_sw1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, x.clm_poa_ind_sw2, x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3,
         x.clm_poa_ind_sw3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, x.clm_poa_ind_sw4, x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, x.clm_poa_ind_sw5,
         x.icd_dgns_cd6, x.icd_dgns_vrsn_cd6, x.clm_poa_ind_sw6, x.icd_dgns_cd7, x.icd_dgns_vrsn_cd7, x.clm_poa_ind_sw7, x.icd_dgns_cd8,
         x.icd_dgns_vrsn_cd8, x.clm_poa_ind_sw8, x.icd_dgns_cd9, x.icd_dgns_vrsn_cd9, x.clm_poa_ind_sw9, x.icd_dgns_cd10, x.icd_dgns_vrsn_cd10,
         x.clm_poa_ind_sw10, x.icd_dgns_cd11, x.icd_dgns_vrsn_cd11, x.clm_poa_ind_sw11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, x.clm_poa_ind_sw12,
         x.icd_dgns_cd13, x.icd_dgns_vrsn_cd13, x.clm_poa_ind_sw13, x.icd_dgns_cd14, x.icd_dgns_vrsn_cd14, x.clm_poa_ind_sw14, x.icd_dgns_cd15,
         x.icd_dgns_vrsn_cd15, x.clm_poa_ind_sw15, x.icd_dgns_cd16, x.icd_dgns_vrsn_cd16, x.clm_poa_ind_sw16, x.icd_dgns_cd17, x.icd_dgns_vrsn_cd17,
         x.clm_poa_ind_sw17, x.icd_dgns_cd18, x.icd_dgns_vrsn_cd18, x.clm_poa_ind_sw18, x.icd_dgns_cd19, x.icd_dgns_vrsn_cd19, x.clm_poa_ind_sw19,
         x.icd_dgns_cd20, x.icd_dgns_vrsn_cd20, x.clm_poa_ind_sw20, x.icd_dgns_cd21, x.icd_dgns_vrsn_cd21, x.clm_poa_ind_sw21, x.icd_dgns_cd22,
         x.icd_dgns_vrsn_cd22, x.clm_poa_ind_sw22, x.icd_dgns_cd23, x.icd_dgns_vrsn_cd23, x.clm_poa_ind_sw23, x.icd_dgns_cd24, x.icd_dgns_vrsn_cd24,
         x.clm_poa_ind_sw24, x.icd_dgns_cd25, x.icd_dgns_vrsn_cd25, x.clm_poa_ind_sw25, x.fst_dgns_e_cd, x.fst_dgns_e_vrsn_cd, x.icd_dgns_e_cd1,
         x.icd_dgns_e_vrsn_cd1, x.clm_e_poa_ind_sw1, x.icd_dgns_e_cd2, x.icd_dgns_e_vrsn_cd2, x.clm_e_poa_ind_sw2, x.icd_dgns_e_cd3,
         x.icd_dgns_e_vrsn_cd3, x.clm_e_poa_ind_sw3, x.icd_dgns_e_cd4, x.icd_dgns_e_vrsn_cd4, x.clm_e_poa_ind_sw4, x.icd_dgns_e_cd5,
         x.icd_dgns_e_vrsn_cd5, x.clm_e_poa_ind_sw5, x.icd_dgns_e_cd6, x.icd_dgns_e_vrsn_cd6, x.clm_e_poa_ind_sw6, x.icd_dgns_e_cd7,
         x.icd_dgns_e_vrsn_cd7, x.clm_e_poa_ind_sw7, x.icd_dgns_e_cd8, x.icd_dgns_e_vrsn_cd8, x.clm_e_poa_ind_sw8, x.icd_dgns_e_cd9,
         x.icd_dgns_e_vrsn_cd9, x.clm_e_poa_ind_sw9, x.icd_dgns_e_cd10, x.icd_dgns_e_vrsn_cd10, x.clm_e_poa_ind_sw10, x.icd_dgns_e_cd11,
         x.icd_dgns_e_vrsn_cd11, x.clm_e_poa_ind_sw11, x.icd_dgns_e_cd12, x.icd_dgns_e_vrsn_cd12, x.clm_e_poa_ind_sw12, x.icd_prcdr_cd1,
         x.icd_prcdr_vrsn_cd1, x.prcdr_dt1, x.icd_prcdr_cd2, x.icd_prcdr_vrsn_cd2, x.prcdr_dt2, x.icd_prcdr_cd3, x.icd_prcdr_vrsn_cd3, x.prcdr_dt3,
         x.icd_prcdr_cd4, x.icd_prcdr_vrsn_cd4, x.prcdr_dt4, x.icd_prcdr_cd5, x.icd_prcdr_vrsn_cd5, x.prcdr_dt5, x.icd_prcdr_cd6,
         x.icd_prcdr_vrsn_cd6, x.prcdr_dt6, x.icd_prcdr_cd7, x.icd_prcdr_vrsn_cd7, x.prcdr_dt7, x.icd_prcdr_cd8, x.icd_prcdr_vrsn_cd8, x.prcdr_dt8,
         x.icd_prcdr_cd9, x.icd_prcdr_vrsn_cd9, x.prcdr_dt9, x.icd_prcdr_cd10, x.icd_prcdr_vrsn_cd10, x.prcdr_dt10, x.icd_prcdr_cd11,
         x.icd_prcdr_vrsn_cd11, x.prcdr_dt11, x.icd_prcdr_cd12, x.icd_prcdr_vrsn_cd12, x.prcdr_dt12, x.icd_prcdr_cd13, x.icd_prcdr_vrsn_cd13,
         x.prcdr_dt13, x.icd_prcdr_cd14, x.icd_prcdr_vrsn_cd14, x.prcdr_dt14, x.icd_prcdr_cd15, x.icd_prcdr_vrsn_cd15, x.prcdr_dt15, x.icd_prcdr_cd16,
         x.icd_prcdr_vrsn_cd16, x.prcdr_dt16, x.icd_prcdr_cd17, x.icd_prcdr_vrsn_cd17, x.prcdr_dt17, x.icd_prcdr_cd18, x.icd_prcdr_vrsn_cd18,
         x.prcdr_dt18, x.icd_prcdr_cd19, x.icd_prcdr_vrsn_cd19, x.prcdr_dt19, x.icd_prcdr_cd20, x.icd_prcdr_vrsn_cd20, x.prcdr_dt20, x.icd_prcdr_cd21,
         x.icd_prcdr_vrsn_cd21, x.prcdr_dt21, x.icd_prcdr_cd22, x.icd_prcdr_vrsn_cd22, x.prcdr_dt22, x.icd_prcdr_cd23, x.icd_prcdr_vrsn_cd23,
         x.prcdr_dt23, x.icd_prcdr_cd24, x.icd_prcdr_vrsn_cd24, x.prcdr_dt24, x.icd_prcdr_cd25, x.icd_prcdr_vrsn_cd25, x.prcdr_dt25,
         x.ime_op_clm_val_amt, x.dsh_op_clm_val_amt, x.clm_uncompd_care_pmt_amt, x.fi_doc_clm_cntl_num, x.fi_orig_clm_cntl_num, NULL AS
         nch_qlfyd_stay_from_dt, NULL AS nch_qlfyd_stay_thru_dt, NULL AS rsn_visit_cd1, NULL AS rsn_visit_vrsn_cd1, NULL AS rsn_visit_cd2, NULL AS
         rsn_visit_vrsn_cd2, NULL AS rsn_visit_cd3, NULL AS rsn_visit_vrsn_cd3, NULL AS nch_bene_ptb_ddctbl_amt, NULL AS nch_bene_ptb_coinsrnc_amt,
         NULL AS clm_op_prvdr_pmt_amt, NULL AS clm_op_bene_pmt_amt, NULL AS clm_hha_lupa_ind_cd, NULL AS clm_hha_rfrl_cd, NULL AS
         clm_hha_tot_visit_cnt, NULL AS clm_hospc_start_dt_id, NULL AS bene_hospc_prd_cnt
  FROM rif.inpatient x
  UNION ALL
  SELECT 'snf' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_rank, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd, x.nch_clm_type_cd,
         x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.fi_clm_proc_dt, x.claim_query_code, x.prvdr_num, x.clm_fac_type_cd,
         x.clm_srvc_clsfctn_type_cd, x.clm_freq_cd, x.fi_num, x.clm_mdcr_non_pmt_rsn_cd, x.clm_pmt_amt, x.nch_prmry_pyr_clm_pd_amt,
         x.nch_prmry_pyr_cd, x.fi_clm_actn_cd, x.prvdr_state_cd, x.org_npi_num, x.at_physn_npi, x.op_physn_npi, x.ot_physn_npi, x.clm_mco_pd_sw,
         x.ptnt_dschrg_stus_cd, x.clm_pps_ind_cd, x.clm_tot_chrg_amt, x.clm_admsn_dt, x.clm_ip_admsn_type_cd, x.clm_src_ip_admsn_cd,
         x.nch_ptnt_status_ind_cd, NULL AS clm_pass_thru_per_diem_amt, x.nch_bene_ip_ddctbl_amt, x.nch_bene_pta_coinsrnc_lblty_am,
         x.nch_bene_blood_ddctbl_lblty_am, NULL AS nch_profnl_cmpnt_chrg_amt, x.nch_ip_ncvrd_chrg_amt, x.nch_ip_tot_ddctn_amt, NULL AS
         clm_tot_pps_cptl_amt, x.clm_pps_cptl_fsp_amt, x.clm_pps_cptl_outlier_amt, x.clm_pps_cptl_dsprprtnt_shr_amt, x.clm_pps_cptl_ime_amt,
         x.clm_pps_cptl_excptn_amt, x.clm_pps_old_cptl_hld_hrmls_amt, NULL AS clm_pps_cptl_drg_wt_num, x.clm_utlztn_day_cnt,
         x.bene_tot_coinsrnc_days_cnt, NULL AS bene_lrd_used_cnt, x.clm_non_utlztn_days_cnt, x.nch_blood_pnts_frnshd_qty,
         x.nch_vrfd_ncvrd_stay_from_dt, x.nch_vrfd_ncvrd_stay_thru_dt, x.nch_actv_or_cvrd_lvl_care_thru, x.nch_bene_mdcr_bnfts_exhtd_dt_i,
         x.nch_bene_dschrg_dt, x.clm_drg_cd, NULL AS clm_drg_outlier_stay_cd, NULL AS nch_drg_outlier_aprvd_pmt_amt, x.admtg_dgns_cd,
         x.admtg_dgns_vrsn_cd, x.prncpal_dgns_cd, x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, NULL AS clm_poa_ind_sw1,
         x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, NULL AS clm_poa_ind_sw2, x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3, NULL AS clm_poa_ind_sw3, x.icd_dgns_cd4,
         x.icd_dgns_vrsn_cd4, NULL AS clm_poa_ind_sw4, x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, NULL AS clm_poa_ind_sw5, x.icd_dgns_cd6,
         x.icd_dgns_vrsn_cd6, NULL AS clm_poa_ind_sw6, x.icd_dgns_cd7, x.icd_dgns_vrsn_cd7, NULL AS clm_poa_ind_sw7, x.icd_dgns_cd8,
         x.icd_dgns_vrsn_cd8, NULL AS clm_poa_ind_sw8, x.icd_dgns_cd9, x.icd_dgns_vrsn_cd9, NULL AS clm_poa_ind_sw9, x.icd_dgns_cd10,
         x.icd_dgns_vrsn_cd10, NULL AS clm_poa_ind_sw10, x.icd_dgns_cd11, x.icd_dgns_vrsn_cd11, NULL AS clm_poa_ind_sw11, x.icd_dgns_cd12,
         x.icd_dgns_vrsn_cd12, NULL AS clm_poa_ind_sw12, x.icd_dgns_cd13, x.icd_dgns_vrsn_cd13, NULL AS clm_poa_ind_sw13, x.icd_dgns_cd14,
         x.icd_dgns_vrsn_cd14, NULL AS clm_poa_ind_sw14, x.icd_dgns_cd15, x.icd_dgns_vrsn_cd15, NULL AS clm_poa_ind_sw15, x.icd_dgns_cd16,
         x.icd_dgns_vrsn_cd16, NULL AS clm_poa_ind_sw16, x.icd_dgns_cd17, x.icd_dgns_vrsn_cd17, NULL AS clm_poa_ind_sw17, x.icd_dgns_cd18,
         x.icd_dgns_vrsn_cd18, NULL AS clm_poa_ind_sw18, x.icd_dgns_cd19, x.icd_dgns_vrsn_cd19, NULL AS clm_poa_ind_sw19, x.icd_dgns_cd20,
         x.icd_dgns_vrsn_cd20, NULL AS clm_poa_ind_sw20, x.icd_dgns_cd21, x.icd_dgns_vrsn_cd21, NULL AS clm_poa_ind_sw21, x.icd_dgns_cd22,
         x.icd_dgns_vrsn_cd22, NULL AS clm_poa_ind_sw22, x.icd_dgns_cd23, x.icd_dgns_vrsn_cd23, NULL AS clm_poa_ind_sw23, x.icd_dgns_cd24,
         x.icd_dgns_vrsn_cd24, NULL AS clm_poa_ind_sw24, x.icd_dgns_cd25, x.icd_dgns_vrsn_cd25, NULL AS clm_poa_ind_sw25, x.fst_dgns_e_cd,
         x.fst_dgns_e_vrsn_cd, x.icd_dgns_e_cd1, x.icd_dgns_e_vrsn_cd1, NULL AS clm_e_poa_ind_sw1, x.icd_dgns_e_cd2, x.icd_dgns_e_vrsn_cd2, NULL AS
         clm_e_poa_ind_sw2, x.icd_dgns_e_cd3, x.icd_dgns_e_vrsn_cd3, NULL AS clm_e_poa_ind_sw3, x.icd_dgns_e_cd4, x.icd_dgns_e_vrsn_cd4, NULL AS
         clm_e_poa_ind_sw4, x.icd_dgns_e_cd5, x.icd_dgns_e_vrsn_cd5, NULL AS clm_e_poa_ind_sw5, x.icd_dgns_e_cd6, x.icd_dgns_e_vrsn_cd6, NULL AS
         clm_e_poa_ind_sw6, x.icd_dgns_e_cd7, x.icd_dgns_e_vrsn_cd7, NULL AS clm_e_poa_ind_sw7, x.icd_dgns_e_cd8, x.icd_dgns_e_vrsn_cd8, NULL AS
         clm_e_poa_ind_sw8, x.icd_dgns_e_cd9, x.icd_dgns_e_vrsn_cd9, NULL AS clm_e_poa_ind_sw9, x.icd_dgns_e_cd10, x.icd_dgns_e_vrsn_cd10, NULL AS
         clm_e_poa_ind_sw10, x.icd_dgns_e_cd11, x.icd_dgns_e_vrsn_cd11, NULL AS clm_e_poa_ind_sw11, x.icd_dgns_e_cd12, x.icd_dgns_e_vrsn_cd12, NULL AS
         clm_e_poa_ind_sw12, x.icd_prcdr_cd1, x.icd_prcdr_vrsn_cd1, x.prcdr_dt1, x.icd_prcdr_cd2, x.icd_prcdr_vrsn_cd2, x.prcdr_dt2, x.icd_prcdr_cd3,
         x.icd_prcdr_vrsn_cd3, x.prcdr_dt3, x.icd_prcdr_cd4, x.icd_prcdr_vrsn_cd4, x.prcdr_dt4, x.icd_prcdr_cd5, x.icd_prcdr_vrsn_cd5, x.prcdr_dt5,
         x.icd_prcdr_cd6, x.icd_prcdr_vrsn_cd6, x.prcdr_dt6, x.icd_prcdr_cd7, x.icd_prcdr_vrsn_cd7, x.prcdr_dt7, x.icd_prcdr_cd8,
         x.icd_prcdr_vrsn_cd8, x.prcdr_dt8, x.icd_prcdr_cd9, x.icd_prcdr_vrsn_cd9, x.prcdr_dt9, x.icd_prcdr_cd10, x.icd_prcdr_vrsn_cd10, x.prcdr_dt10,
         x.icd_prcdr_cd11, x.icd_prcdr_vrsn_cd11, x.prcdr_dt11, x.icd_prcdr_cd12, x.icd_prcdr_vrsn_cd12, x.prcdr_dt12, x.icd_prcdr_cd13,
         x.icd_prcdr_vrsn_cd13, x.prcdr_dt13, x.icd_prcdr_cd14, x.icd_prcdr_vrsn_cd14, x.prcdr_dt14, x.icd_prcdr_cd15, x.icd_prcdr_vrsn_cd15,
         x.prcdr_dt15, x.icd_prcdr_cd16, x.icd_prcdr_vrsn_cd16, x.prcdr_dt16, x.icd_prcdr_cd17, x.icd_prcdr_vrsn_cd17, x.prcdr_dt17, x.icd_prcdr_cd18,
         x.icd_prcdr_vrsn_cd18, x.prcdr_dt18, x.icd_prcdr_cd19, x.icd_prcdr_vrsn_cd19, x.prcdr_dt19, x.icd_prcdr_cd20, x.icd_prcdr_vrsn_cd20,
         x.prcdr_dt20, x.icd_prcdr_cd21, x.icd_prcdr_vrsn_cd21, x.prcdr_dt21, x.icd_prcdr_cd22, x.icd_prcdr_vrsn_cd22, x.prcdr_dt22, x.icd_prcdr_cd23,
         x.icd_prcdr_vrsn_cd23, x.prcdr_dt23, x.icd_prcdr_cd24, x.icd_prcdr_vrsn_cd24, x.prcdr_dt24, x.icd_prcdr_cd25, x.icd_prcdr_vrsn_cd25,
         x.prcdr_dt25, NULL AS ime_op_clm_val_amt, NULL AS dsh_op_clm_val_amt, NULL AS clm_uncompd_care_pmt_amt, x.fi_doc_clm_cntl_num,
         x.fi_orig_clm_cntl_num, x.nch_qlfyd_stay_from_dt, x.nch_qlfyd_stay_thru_dt, NULL AS rsn_visit_cd1, NULL AS rsn_visit_vrsn_cd1, NULL AS
         rsn_visit_cd2, NULL AS rsn_visit_vrsn_cd2, NULL AS rsn_visit_cd3, NULL AS rsn_visit_vrsn_cd3, NULL AS nch_bene_ptb_ddctbl_amt, NULL AS
         nch_bene_ptb_coinsrnc_amt, NULL AS clm_op_prvdr_pmt_amt, NULL AS clm_op_bene_pmt_amt, NULL AS clm_hha_lupa_ind_cd, NULL AS clm_hha_rfrl_cd,
         NULL AS clm_hha_tot_visit_cnt, NULL AS clm_hospc_start_dt_id, NULL AS bene_hospc_prd_cnt
  FROM rif.snf x
  UNION ALL
  SELECT 'outpatient' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_rank, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd,
         x.nch_clm_type_cd, x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.fi_clm_proc_dt, x.claim_query_code, x.prvdr_num, x.clm_fac_type_cd,
         x.clm_srvc_clsfctn_type_cd, x.clm_freq_cd, x.fi_num, x.clm_mdcr_non_pmt_rsn_cd, x.clm_pmt_amt, x.nch_prmry_pyr_clm_pd_amt,
         x.nch_prmry_pyr_cd, NULL AS fi_clm_actn_cd, x.prvdr_state_cd, x.org_npi_num, x.at_physn_npi, x.op_physn_npi, x.ot_physn_npi, x.clm_mco_pd_sw,
         x.ptnt_dschrg_stus_cd, NULL AS clm_pps_ind_cd, x.clm_tot_chrg_amt, NULL AS clm_admsn_dt, NULL AS clm_ip_admsn_type_cd, NULL AS
         clm_src_ip_admsn_cd, NULL AS nch_ptnt_status_ind_cd, NULL AS clm_pass_thru_per_diem_amt, NULL AS nch_bene_ip_ddctbl_amt, NULL AS
         nch_bene_pta_coinsrnc_lblty_am, x.nch_bene_blood_ddctbl_lblty_am, x.nch_profnl_cmpnt_chrg_amt, NULL AS nch_ip_ncvrd_chrg_amt, NULL AS
         nch_ip_tot_ddctn_amt, NULL AS clm_tot_pps_cptl_amt, NULL AS clm_pps_cptl_fsp_amt, NULL AS clm_pps_cptl_outlier_amt, NULL AS
         clm_pps_cptl_dsprprtnt_shr_amt, NULL AS clm_pps_cptl_ime_amt, NULL AS clm_pps_cptl_excptn_amt, NULL AS clm_pps_old_cptl_hld_hrmls_amt, NULL
         AS clm_pps_cptl_drg_wt_num, NULL AS clm_utlztn_day_cnt, NULL AS bene_tot_coinsrnc_days_cnt, NULL AS bene_lrd_used_cnt, NULL AS
         clm_non_utlztn_days_cnt, NULL AS nch_blood_pnts_frnshd_qty, NULL AS nch_vrfd_ncvrd_stay_from_dt, NULL AS nch_vrfd_ncvrd_stay_thru_dt, NULL AS
         nch_actv_or_cvrd_lvl_care_thru, NULL AS nch_bene_mdcr_bnfts_exhtd_dt_i, NULL AS nch_bene_dschrg_dt, NULL AS clm_drg_cd, NULL AS
         clm_drg_outlier_stay_cd, NULL AS nch_drg_outlier_aprvd_pmt_amt, NULL AS admtg_dgns_cd, NULL AS admtg_dgns_vrsn_cd, x.prncpal_dgns_cd,
         x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, NULL AS clm_poa_ind_sw1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, NULL AS
         clm_poa_ind_sw2, x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3, NULL AS clm_poa_ind_sw3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, NULL AS clm_poa_ind_sw4,
         x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, NULL AS clm_poa_ind_sw5, x.icd_dgns_cd6, x.icd_dgns_vrsn_cd6, NULL AS clm_poa_ind_sw6, x.icd_dgns_cd7,
         x.icd_dgns_vrsn_cd7, NULL AS clm_poa_ind_sw7, x.icd_dgns_cd8, x.icd_dgns_vrsn_cd8, NULL AS clm_poa_ind_sw8, x.icd_dgns_cd9,
         x.icd_dgns_vrsn_cd9, NULL AS clm_poa_ind_sw9, x.icd_dgns_cd10, x.icd_dgns_vrsn_cd10, NULL AS clm_poa_ind_sw10, x.icd_dgns_cd11,
         x.icd_dgns_vrsn_cd11, NULL AS clm_poa_ind_sw11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, NULL AS clm_poa_ind_sw12, x.icd_dgns_cd13,
         x.icd_dgns_vrsn_cd13, NULL AS clm_poa_ind_sw13, x.icd_dgns_cd14, x.icd_dgns_vrsn_cd14, NULL AS clm_poa_ind_sw14, x.icd_dgns_cd15,
         x.icd_dgns_vrsn_cd15, NULL AS clm_poa_ind_sw15, x.icd_dgns_cd16, x.icd_dgns_vrsn_cd16, NULL AS clm_poa_ind_sw16, x.icd_dgns_cd17,
         x.icd_dgns_vrsn_cd17, NULL AS clm_poa_ind_sw17, x.icd_dgns_cd18, x.icd_dgns_vrsn_cd18, NULL AS clm_poa_ind_sw18, x.icd_dgns_cd19,
         x.icd_dgns_vrsn_cd19, NULL AS clm_poa_ind_sw19, x.icd_dgns_cd20, x.icd_dgns_vrsn_cd20, NULL AS clm_poa_ind_sw20, x.icd_dgns_cd21,
         x.icd_dgns_vrsn_cd21, NULL AS clm_poa_ind_sw21, x.icd_dgns_cd22, x.icd_dgns_vrsn_cd22, NULL AS clm_poa_ind_sw22, x.icd_dgns_cd23,
         x.icd_dgns_vrsn_cd23, NULL AS clm_poa_ind_sw23, x.icd_dgns_cd24, x.icd_dgns_vrsn_cd24, NULL AS clm_poa_ind_sw24, x.icd_dgns_cd25,
         x.icd_dgns_vrsn_cd25, NULL AS clm_poa_ind_sw25, x.fst_dgns_e_cd, x.fst_dgns_e_vrsn_cd, x.icd_dgns_e_cd1, x.icd_dgns_e_vrsn_cd1, NULL AS
         clm_e_poa_ind_sw1, x.icd_dgns_e_cd2, x.icd_dgns_e_vrsn_cd2, NULL AS clm_e_poa_ind_sw2, x.icd_dgns_e_cd3, x.icd_dgns_e_vrsn_cd3, NULL AS
         clm_e_poa_ind_sw3, x.icd_dgns_e_cd4, x.icd_dgns_e_vrsn_cd4, NULL AS clm_e_poa_ind_sw4, x.icd_dgns_e_cd5, x.icd_dgns_e_vrsn_cd5, NULL AS
         clm_e_poa_ind_sw5, x.icd_dgns_e_cd6, x.icd_dgns_e_vrsn_cd6, NULL AS clm_e_poa_ind_sw6, x.icd_dgns_e_cd7, x.icd_dgns_e_vrsn_cd7, NULL AS
         clm_e_poa_ind_sw7, x.icd_dgns_e_cd8, x.icd_dgns_e_vrsn_cd8, NULL AS clm_e_poa_ind_sw8, x.icd_dgns_e_cd9, x.icd_dgns_e_vrsn_cd9, NULL AS
         clm_e_poa_ind_sw9, x.icd_dgns_e_cd10, x.icd_dgns_e_vrsn_cd10, NULL AS clm_e_poa_ind_sw10, x.icd_dgns_e_cd11, x.icd_dgns_e_vrsn_cd11, NULL AS
         clm_e_poa_ind_sw11, x.icd_dgns_e_cd12, x.icd_dgns_e_vrsn_cd12, NULL AS clm_e_poa_ind_sw12, x.icd_prcdr_cd1, x.icd_prcdr_vrsn_cd1,
         x.prcdr_dt1, x.icd_prcdr_cd2, x.icd_prcdr_vrsn_cd2, x.prcdr_dt2, x.icd_prcdr_cd3, x.icd_prcdr_vrsn_cd3, x.prcdr_dt3, x.icd_prcdr_cd4,
         x.icd_prcdr_vrsn_cd4, x.prcdr_dt4, x.icd_prcdr_cd5, x.icd_prcdr_vrsn_cd5, x.prcdr_dt5, x.icd_prcdr_cd6, x.icd_prcdr_vrsn_cd6, x.prcdr_dt6,
         x.icd_prcdr_cd7, x.icd_prcdr_vrsn_cd7, x.prcdr_dt7, x.icd_prcdr_cd8, x.icd_prcdr_vrsn_cd8, x.prcdr_dt8, x.icd_prcdr_cd9,
         x.icd_prcdr_vrsn_cd9, x.prcdr_dt9, x.icd_prcdr_cd10, x.icd_prcdr_vrsn_cd10, x.prcdr_dt10, x.icd_prcdr_cd11, x.icd_prcdr_vrsn_cd11,
         x.prcdr_dt11, x.icd_prcdr_cd12, x.icd_prcdr_vrsn_cd12, x.prcdr_dt12, x.icd_prcdr_cd13, x.icd_prcdr_vrsn_cd13, x.prcdr_dt13, x.icd_prcdr_cd14,
         x.icd_prcdr_vrsn_cd14, x.prcdr_dt14, x.icd_prcdr_cd15, x.icd_prcdr_vrsn_cd15, x.prcdr_dt15, x.icd_prcdr_cd16, x.icd_prcdr_vrsn_cd16,
         x.prcdr_dt16, x.icd_prcdr_cd17, x.icd_prcdr_vrsn_cd17, x.prcdr_dt17, x.icd_prcdr_cd18, x.icd_prcdr_vrsn_cd18, x.prcdr_dt18, x.icd_prcdr_cd19,
         x.icd_prcdr_vrsn_cd19, x.prcdr_dt19, x.icd_prcdr_cd20, x.icd_prcdr_vrsn_cd20, x.prcdr_dt20, x.icd_prcdr_cd21, x.icd_prcdr_vrsn_cd21,
         x.prcdr_dt21, x.icd_prcdr_cd22, x.icd_prcdr_vrsn_cd22, x.prcdr_dt22, x.icd_prcdr_cd23, x.icd_prcdr_vrsn_cd23, x.prcdr_dt23, x.icd_prcdr_cd24,
         x.icd_prcdr_vrsn_cd24, x.prcdr_dt24, x.icd_prcdr_cd25, x.icd_prcdr_vrsn_cd25, x.prcdr_dt25, NULL AS ime_op_clm_val_amt, NULL AS
         dsh_op_clm_val_amt, NULL AS clm_uncompd_care_pmt_amt, x.fi_doc_clm_cntl_num, x.fi_orig_clm_cntl_num, NULL AS nch_qlfyd_stay_from_dt, NULL AS
         nch_qlfyd_stay_thru_dt, x.rsn_visit_cd1, x.rsn_visit_vrsn_cd1, x.rsn_visit_cd2, x.rsn_visit_vrsn_cd2, x.rsn_visit_cd3, x.rsn_visit_vrsn_cd3,
         x.nch_bene_ptb_ddctbl_amt, x.nch_bene_ptb_coinsrnc_amt, x.clm_op_prvdr_pmt_amt, x.clm_op_bene_pmt_amt, NULL AS clm_hha_lupa_ind_cd, NULL AS
         clm_hha_rfrl_cd, NULL AS clm_hha_tot_visit_cnt, NULL AS clm_hospc_start_dt_id, NULL AS bene_hospc_prd_cnt
  FROM rif.outpatient x
  UNION ALL
  SELECT 'hha' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_rank, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd, x.nch_clm_type_cd,
         x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.fi_clm_proc_dt, x.claim_query_code, x.prvdr_num, x.clm_fac_type_cd,
         x.clm_srvc_clsfctn_type_cd, x.clm_freq_cd, x.fi_num, x.clm_mdcr_non_pmt_rsn_cd, x.clm_pmt_amt, x.nch_prmry_pyr_clm_pd_amt,
         x.nch_prmry_pyr_cd, NULL AS fi_clm_actn_cd, x.prvdr_state_cd, x.org_npi_num, x.at_physn_npi, NULL AS op_physn_npi, NULL AS ot_physn_npi, NULL
         AS clm_mco_pd_sw, x.ptnt_dschrg_stus_cd, x.clm_pps_ind_cd, x.clm_tot_chrg_amt, x.clm_admsn_dt, NULL AS clm_ip_admsn_type_cd, NULL AS
         clm_src_ip_admsn_cd, NULL AS nch_ptnt_status_ind_cd, NULL AS clm_pass_thru_per_diem_amt, NULL AS nch_bene_ip_ddctbl_amt, NULL AS
         nch_bene_pta_coinsrnc_lblty_am, NULL AS nch_bene_blood_ddctbl_lblty_am, NULL AS nch_profnl_cmpnt_chrg_amt, NULL AS nch_ip_ncvrd_chrg_amt,
         NULL AS nch_ip_tot_ddctn_amt, NULL AS clm_tot_pps_cptl_amt, NULL AS clm_pps_cptl_fsp_amt, NULL AS clm_pps_cptl_outlier_amt, NULL AS
         clm_pps_cptl_dsprprtnt_shr_amt, NULL AS clm_pps_cptl_ime_amt, NULL AS clm_pps_cptl_excptn_amt, NULL AS clm_pps_old_cptl_hld_hrmls_amt, NULL
         AS clm_pps_cptl_drg_wt_num, NULL AS clm_utlztn_day_cnt, NULL AS bene_tot_coinsrnc_days_cnt, NULL AS bene_lrd_used_cnt, NULL AS
         clm_non_utlztn_days_cnt, NULL AS nch_blood_pnts_frnshd_qty, NULL AS nch_vrfd_ncvrd_stay_from_dt, NULL AS nch_vrfd_ncvrd_stay_thru_dt, NULL AS
         nch_actv_or_cvrd_lvl_care_thru, NULL AS nch_bene_mdcr_bnfts_exhtd_dt_i, NULL AS nch_bene_dschrg_dt, NULL AS clm_drg_cd, NULL AS
         clm_drg_outlier_stay_cd, NULL AS nch_drg_outlier_aprvd_pmt_amt, NULL AS admtg_dgns_cd, NULL AS admtg_dgns_vrsn_cd, x.prncpal_dgns_cd,
         x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, NULL AS clm_poa_ind_sw1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, NULL AS
         clm_poa_ind_sw2, x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3, NULL AS clm_poa_ind_sw3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, NULL AS clm_poa_ind_sw4,
         x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, NULL AS clm_poa_ind_sw5, x.icd_dgns_cd6, x.icd_dgns_vrsn_cd6, NULL AS clm_poa_ind_sw6, x.icd_dgns_cd7,
         x.icd_dgns_vrsn_cd7, NULL AS clm_poa_ind_sw7, x.icd_dgns_cd8, x.icd_dgns_vrsn_cd8, NULL AS clm_poa_ind_sw8, x.icd_dgns_cd9,
         x.icd_dgns_vrsn_cd9, NULL AS clm_poa_ind_sw9, x.icd_dgns_cd10, x.icd_dgns_vrsn_cd10, NULL AS clm_poa_ind_sw10, x.icd_dgns_cd11,
         x.icd_dgns_vrsn_cd11, NULL AS clm_poa_ind_sw11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, NULL AS clm_poa_ind_sw12, x.icd_dgns_cd13,
         x.icd_dgns_vrsn_cd13, NULL AS clm_poa_ind_sw13, x.icd_dgns_cd14, x.icd_dgns_vrsn_cd14, NULL AS clm_poa_ind_sw14, x.icd_dgns_cd15,
         x.icd_dgns_vrsn_cd15, NULL AS clm_poa_ind_sw15, x.icd_dgns_cd16, x.icd_dgns_vrsn_cd16, NULL AS clm_poa_ind_sw16, x.icd_dgns_cd17,
         x.icd_dgns_vrsn_cd17, NULL AS clm_poa_ind_sw17, x.icd_dgns_cd18, x.icd_dgns_vrsn_cd18, NULL AS clm_poa_ind_sw18, x.icd_dgns_cd19,
         x.icd_dgns_vrsn_cd19, NULL AS clm_poa_ind_sw19, x.icd_dgns_cd20, x.icd_dgns_vrsn_cd20, NULL AS clm_poa_ind_sw20, x.icd_dgns_cd21,
         x.icd_dgns_vrsn_cd21, NULL AS clm_poa_ind_sw21, x.icd_dgns_cd22, x.icd_dgns_vrsn_cd22, NULL AS clm_poa_ind_sw22, x.icd_dgns_cd23,
         x.icd_dgns_vrsn_cd23, NULL AS clm_poa_ind_sw23, x.icd_dgns_cd24, x.icd_dgns_vrsn_cd24, NULL AS clm_poa_ind_sw24, x.icd_dgns_cd25,
         x.icd_dgns_vrsn_cd25, NULL AS clm_poa_ind_sw25, x.fst_dgns_e_cd, x.fst_dgns_e_vrsn_cd, x.icd_dgns_e_cd1, x.icd_dgns_e_vrsn_cd1, NULL AS
         clm_e_poa_ind_sw1, x.icd_dgns_e_cd2, x.icd_dgns_e_vrsn_cd2, NULL AS clm_e_poa_ind_sw2, x.icd_dgns_e_cd3, x.icd_dgns_e_vrsn_cd3, NULL AS
         clm_e_poa_ind_sw3, x.icd_dgns_e_cd4, x.icd_dgns_e_vrsn_cd4, NULL AS clm_e_poa_ind_sw4, x.icd_dgns_e_cd5, x.icd_dgns_e_vrsn_cd5, NULL AS
         clm_e_poa_ind_sw5, x.icd_dgns_e_cd6, x.icd_dgns_e_vrsn_cd6, NULL AS clm_e_poa_ind_sw6, x.icd_dgns_e_cd7, x.icd_dgns_e_vrsn_cd7, NULL AS
         clm_e_poa_ind_sw7, x.icd_dgns_e_cd8, x.icd_dgns_e_vrsn_cd8, NULL AS clm_e_poa_ind_sw8, x.icd_dgns_e_cd9, x.icd_dgns_e_vrsn_cd9, NULL AS
         clm_e_poa_ind_sw9, x.icd_dgns_e_cd10, x.icd_dgns_e_vrsn_cd10, NULL AS clm_e_poa_ind_sw10, x.icd_dgns_e_cd11, x.icd_dgns_e_vrsn_cd11, NULL AS
         clm_e_poa_ind_sw11, x.icd_dgns_e_cd12, x.icd_dgns_e_vrsn_cd12, NULL AS clm_e_poa_ind_sw12, NULL AS icd_prcdr_cd1, NULL AS icd_prcdr_vrsn_cd1,
         NULL AS prcdr_dt1, NULL AS icd_prcdr_cd2, NULL AS icd_prcdr_vrsn_cd2, NULL AS prcdr_dt2, NULL AS icd_prcdr_cd3, NULL AS icd_prcdr_vrsn_cd3,
         NULL AS prcdr_dt3, NULL AS icd_prcdr_cd4, NULL AS icd_prcdr_vrsn_cd4, NULL AS prcdr_dt4, NULL AS icd_prcdr_cd5, NULL AS icd_prcdr_vrsn_cd5,
         NULL AS prcdr_dt5, NULL AS icd_prcdr_cd6, NULL AS icd_prcdr_vrsn_cd6, NULL AS prcdr_dt6, NULL AS icd_prcdr_cd7, NULL AS icd_prcdr_vrsn_cd7,
         NULL AS prcdr_dt7, NULL AS icd_prcdr_cd8, NULL AS icd_prcdr_vrsn_cd8, NULL AS prcdr_dt8, NULL AS icd_prcdr_cd9, NULL AS icd_prcdr_vrsn_cd9,
         NULL AS prcdr_dt9, NULL AS icd_prcdr_cd10, NULL AS icd_prcdr_vrsn_cd10, NULL AS prcdr_dt10, NULL AS icd_prcdr_cd11, NULL AS
         icd_prcdr_vrsn_cd11, NULL AS prcdr_dt11, NULL AS icd_prcdr_cd12, NULL AS icd_prcdr_vrsn_cd12, NULL AS prcdr_dt12, NULL AS icd_prcdr_cd13,
         NULL AS icd_prcdr_vrsn_cd13, NULL AS prcdr_dt13, NULL AS icd_prcdr_cd14, NULL AS icd_prcdr_vrsn_cd14, NULL AS prcdr_dt14, NULL AS
         icd_prcdr_cd15, NULL AS icd_prcdr_vrsn_cd15, NULL AS prcdr_dt15, NULL AS icd_prcdr_cd16, NULL AS icd_prcdr_vrsn_cd16, NULL AS prcdr_dt16,
         NULL AS icd_prcdr_cd17, NULL AS icd_prcdr_vrsn_cd17, NULL AS prcdr_dt17, NULL AS icd_prcdr_cd18, NULL AS icd_prcdr_vrsn_cd18, NULL AS
         prcdr_dt18, NULL AS icd_prcdr_cd19, NULL AS icd_prcdr_vrsn_cd19, NULL AS prcdr_dt19, NULL AS icd_prcdr_cd20, NULL AS icd_prcdr_vrsn_cd20,
         NULL AS prcdr_dt20, NULL AS icd_prcdr_cd21, NULL AS icd_prcdr_vrsn_cd21, NULL AS prcdr_dt21, NULL AS icd_prcdr_cd22, NULL AS
         icd_prcdr_vrsn_cd22, NULL AS prcdr_dt22, NULL AS icd_prcdr_cd23, NULL AS icd_prcdr_vrsn_cd23, NULL AS prcdr_dt23, NULL AS icd_prcdr_cd24,
         NULL AS icd_prcdr_vrsn_cd24, NULL AS prcdr_dt24, NULL AS icd_prcdr_cd25, NULL AS icd_prcdr_vrsn_cd25, NULL AS prcdr_dt25, NULL AS
         ime_op_clm_val_amt, NULL AS dsh_op_clm_val_amt, NULL AS clm_uncompd_care_pmt_amt, x.fi_doc_clm_cntl_num, x.fi_orig_clm_cntl_num, NULL AS
         nch_qlfyd_stay_from_dt, NULL AS nch_qlfyd_stay_thru_dt, NULL AS rsn_visit_cd1, NULL AS rsn_visit_vrsn_cd1, NULL AS rsn_visit_cd2, NULL AS
         rsn_visit_vrsn_cd2, NULL AS rsn_visit_cd3, NULL AS rsn_visit_vrsn_cd3, NULL AS nch_bene_ptb_ddctbl_amt, NULL AS nch_bene_ptb_coinsrnc_amt,
         NULL AS clm_op_prvdr_pmt_amt, NULL AS clm_op_bene_pmt_amt, x.clm_hha_lupa_ind_cd, x.clm_hha_rfrl_cd, x.clm_hha_tot_visit_cnt, NULL AS
         clm_hospc_start_dt_id, NULL AS bene_hospc_prd_cnt
  FROM rif.hha x
  UNION ALL
  SELECT 'hospice' AS layout, x.delivery, CAST(x.clm_line_num AS INTEGER) AS line_rank, x.dml_ind, x.bene_id, x.clm_id, x.clm_grp_id, x.final_action, x.nch_near_line_rec_ident_cd,
         x.nch_clm_type_cd, x.clm_from_dt, x.clm_thru_dt, x.nch_wkly_proc_dt, x.fi_clm_proc_dt, x.claim_query_code, x.prvdr_num, x.clm_fac_type_cd,
         x.clm_srvc_clsfctn_type_cd, x.clm_freq_cd, x.fi_num, x.clm_mdcr_non_pmt_rsn_cd, x.clm_pmt_amt, x.nch_prmry_pyr_clm_pd_amt,
         x.nch_prmry_pyr_cd, NULL AS fi_clm_actn_cd, x.prvdr_state_cd, x.org_npi_num, x.at_physn_npi, NULL AS op_physn_npi, NULL AS ot_physn_npi, NULL
         AS clm_mco_pd_sw, x.ptnt_dschrg_stus_cd, NULL AS clm_pps_ind_cd, x.clm_tot_chrg_amt, NULL AS clm_admsn_dt, NULL AS clm_ip_admsn_type_cd, NULL
         AS clm_src_ip_admsn_cd, x.nch_ptnt_status_ind_cd, NULL AS clm_pass_thru_per_diem_amt, NULL AS nch_bene_ip_ddctbl_amt, NULL AS
         nch_bene_pta_coinsrnc_lblty_am, NULL AS nch_bene_blood_ddctbl_lblty_am, NULL AS nch_profnl_cmpnt_chrg_amt, NULL AS nch_ip_ncvrd_chrg_amt,
         NULL AS nch_ip_tot_ddctn_amt, NULL AS clm_tot_pps_cptl_amt, NULL AS clm_pps_cptl_fsp_amt, NULL AS clm_pps_cptl_outlier_amt, NULL AS
         clm_pps_cptl_dsprprtnt_shr_amt, NULL AS clm_pps_cptl_ime_amt, NULL AS clm_pps_cptl_excptn_amt, NULL AS clm_pps_old_cptl_hld_hrmls_amt, NULL
         AS clm_pps_cptl_drg_wt_num, x.clm_utlztn_day_cnt, NULL AS bene_tot_coinsrnc_days_cnt, NULL AS bene_lrd_used_cnt, NULL AS
         clm_non_utlztn_days_cnt, NULL AS nch_blood_pnts_frnshd_qty, NULL AS nch_vrfd_ncvrd_stay_from_dt, NULL AS nch_vrfd_ncvrd_stay_thru_dt, NULL AS
         nch_actv_or_cvrd_lvl_care_thru, NULL AS nch_bene_mdcr_bnfts_exhtd_dt_i, x.nch_bene_dschrg_dt, NULL AS clm_drg_cd, NULL AS
         clm_drg_outlier_stay_cd, NULL AS nch_drg_outlier_aprvd_pmt_amt, NULL AS admtg_dgns_cd, NULL AS admtg_dgns_vrsn_cd, x.prncpal_dgns_cd,
         x.prncpal_dgns_vrsn_cd, x.icd_dgns_cd1, x.icd_dgns_vrsn_cd1, NULL AS clm_poa_ind_sw1, x.icd_dgns_cd2, x.icd_dgns_vrsn_cd2, NULL AS
         clm_poa_ind_sw2, x.icd_dgns_cd3, x.icd_dgns_vrsn_cd3, NULL AS clm_poa_ind_sw3, x.icd_dgns_cd4, x.icd_dgns_vrsn_cd4, NULL AS clm_poa_ind_sw4,
         x.icd_dgns_cd5, x.icd_dgns_vrsn_cd5, NULL AS clm_poa_ind_sw5, x.icd_dgns_cd6, x.icd_dgns_vrsn_cd6, NULL AS clm_poa_ind_sw6, x.icd_dgns_cd7,
         x.icd_dgns_vrsn_cd7, NULL AS clm_poa_ind_sw7, x.icd_dgns_cd8, x.icd_dgns_vrsn_cd8, NULL AS clm_poa_ind_sw8, x.icd_dgns_cd9,
         x.icd_dgns_vrsn_cd9, NULL AS clm_poa_ind_sw9, x.icd_dgns_cd10, x.icd_dgns_vrsn_cd10, NULL AS clm_poa_ind_sw10, x.icd_dgns_cd11,
         x.icd_dgns_vrsn_cd11, NULL AS clm_poa_ind_sw11, x.icd_dgns_cd12, x.icd_dgns_vrsn_cd12, NULL AS clm_poa_ind_sw12, x.icd_dgns_cd13,
         x.icd_dgns_vrsn_cd13, NULL AS clm_poa_ind_sw13, x.icd_dgns_cd14, x.icd_dgns_vrsn_cd14, NULL AS clm_poa_ind_sw14, x.icd_dgns_cd15,
         x.icd_dgns_vrsn_cd15, NULL AS clm_poa_ind_sw15, x.icd_dgns_cd16, x.icd_dgns_vrsn_cd16, NULL AS clm_poa_ind_sw16, x.icd_dgns_cd17,
         x.icd_dgns_vrsn_cd17, NULL AS clm_poa_ind_sw17, x.icd_dgns_cd18, x.icd_dgns_vrsn_cd18, NULL AS clm_poa_ind_sw18, x.icd_dgns_cd19,
         x.icd_dgns_vrsn_cd19, NULL AS clm_poa_ind_sw19, x.icd_dgns_cd20, x.icd_dgns_vrsn_cd20, NULL AS clm_poa_ind_sw20, x.icd_dgns_cd21,
         x.icd_dgns_vrsn_cd21, NULL AS clm_poa_ind_sw21, x.icd_dgns_cd22, x.icd_dgns_vrsn_cd22, NULL AS clm_poa_ind_sw22, x.icd_dgns_cd23,
         x.icd_dgns_vrsn_cd23, NULL AS clm_poa_ind_sw23, x.icd_dgns_cd24, x.icd_dgns_vrsn_cd24, NULL AS clm_poa_ind_sw24, x.icd_dgns_cd25,
         x.icd_dgns_vrsn_cd25, NULL AS clm_poa_ind_sw25, x.fst_dgns_e_cd, x.fst_dgns_e_vrsn_cd, x.icd_dgns_e_cd1, x.icd_dgns_e_vrsn_cd1, NULL AS
         clm_e_poa_ind_sw1, x.icd_dgns_e_cd2, x.icd_dgns_e_vrsn_cd2, NULL AS clm_e_poa_ind_sw2, x.icd_dgns_e_cd3, x.icd_dgns_e_vrsn_cd3, NULL AS
         clm_e_poa_ind_sw3, x.icd_dgns_e_cd4, x.icd_dgns_e_vrsn_cd4, NULL AS clm_e_poa_ind_sw4, x.icd_dgns_e_cd5, x.icd_dgns_e_vrsn_cd5, NULL AS
         clm_e_poa_ind_sw5, x.icd_dgns_e_cd6, x.icd_dgns_e_vrsn_cd6, NULL AS clm_e_poa_ind_sw6, x.icd_dgns_e_cd7, x.icd_dgns_e_vrsn_cd7, NULL AS
         clm_e_poa_ind_sw7, x.icd_dgns_e_cd8, x.icd_dgns_e_vrsn_cd8, NULL AS clm_e_poa_ind_sw8, x.icd_dgns_e_cd9, x.icd_dgns_e_vrsn_cd9, NULL AS
         clm_e_poa_ind_sw9, x.icd_dgns_e_cd10, x.icd_dgns_e_vrsn_cd10, NULL AS clm_e_poa_ind_sw10, x.icd_dgns_e_cd11, x.icd_dgns_e_vrsn_cd11, NULL AS
         clm_e_poa_ind_sw11, x.icd_dgns_e_cd12, x.icd_dgns_e_vrsn_cd12, NULL AS clm_e_poa_ind_sw12, NULL AS icd_prcdr_cd1, NULL AS icd_prcdr_vrsn_cd1,
         NULL AS prcdr_dt1, NULL AS icd_prcdr_cd2, NULL AS icd_prcdr_vrsn_cd2, NULL AS prcdr_dt2, NULL AS icd_prcdr_cd3, NULL AS icd_prcdr_vrsn_cd3,
         NULL AS prcdr_dt3, NULL AS icd_prcdr_cd4, NULL AS icd_prcdr_vrsn_cd4, NULL AS prcdr_dt4, NULL AS icd_prcdr_cd5, NULL AS icd_prcdr_vrsn_cd5,
         NULL AS prcdr_dt5, NULL AS icd_prcdr_cd6, NULL AS icd_prcdr_vrsn_cd6, NULL AS prcdr_dt6, NULL AS icd_prcdr_cd7, NULL AS icd_prcdr_vrsn_cd7,
         NULL AS prcdr_dt7, NULL AS icd_prcdr_cd8, NULL AS icd_prcdr_vrsn_cd8, NULL AS prcdr_dt8, NULL AS icd_prcdr_cd9, NULL AS icd_prcdr_vrsn_cd9,
         NULL AS prcdr_dt9, NULL AS icd_prcdr_cd10, NULL AS icd_prcdr_vrsn_cd10, NULL AS prcdr_dt10, NULL AS icd_prcdr_cd11, NULL AS
         icd_prcdr_vrsn_cd11, NULL AS prcdr_dt11, NULL AS icd_prcdr_cd12, NULL AS icd_prcdr_vrsn_cd12, NULL AS prcdr_dt12, NULL AS icd_prcdr_cd13,
         NULL AS icd_prcdr_vrsn_cd13, NULL AS prcdr_dt13, NULL AS icd_prcdr_cd14, NULL AS icd_prcdr_vrsn_cd14, NULL AS prcdr_dt14, NULL AS
         icd_prcdr_cd15, NULL AS icd_prcdr_vrsn_cd15, NULL AS prcdr_dt15, NULL AS icd_prcdr_cd16, NULL AS icd_prcdr_vrsn_cd16, NULL AS prcdr_dt16,
         NULL AS icd_prcdr_cd17, NULL AS icd_prcdr_vrsn_cd17, NULL AS prcdr_dt17, NULL AS icd_prcdr_cd18, NULL AS icd_prcdr_vrsn_cd18, NULL AS
         prcdr_dt18, NULL AS icd_prcdr_cd19, NULL AS icd_prcdr_vrsn_cd19, NULL AS prcdr_dt19, NULL AS icd_prcdr_cd20, NULL AS icd_prcdr_vrsn_cd20,
         NULL AS prcdr_dt20, NULL AS icd_prcdr_cd21, NULL AS icd_prcdr_vrsn_cd21, NULL AS prcdr_dt21, NULL AS icd_prcdr_cd22, NULL AS
         icd_prcdr_vrsn_cd22, NULL AS prcdr_dt22, NULL AS icd_prcdr_cd23, NULL AS icd_prcdr_vrsn_cd23, NULL AS prcdr_dt23, NULL AS icd_prcdr_cd24,
         NULL AS icd_prcdr_vrsn_cd24, NULL AS prcdr_dt24, NULL AS icd_prcdr_cd25, NULL AS icd_prcdr_vrsn_cd25, NULL AS prcdr_dt25, NULL AS
         ime_op_clm_val_amt, NULL AS dsh_op_clm_val_amt, NULL AS clm_uncompd_care_pmt_amt, x.fi_doc_clm_cntl_num, x.fi_orig_clm_cntl_num, NULL AS
         nch_qlfyd_stay_from_dt, NULL AS nch_qlfyd_stay_thru_dt, NULL AS rsn_visit_cd1, NULL AS rsn_visit_vrsn_cd1, NULL AS rsn_visit_cd2, NULL AS
         rsn_visit_vrsn_cd2, NULL AS rsn_visit_cd3, NULL AS rsn_visit_vrsn_cd3, NULL AS nch_bene_ptb_ddctbl_amt, NULL AS nch_bene_ptb_coinsrnc_amt,
         NULL AS clm_op_prvdr_pmt_amt, NULL AS clm_op_bene_pmt_amt, NULL AS clm_hha_lupa_ind_cd, NULL AS clm_hha_rfrl_cd, NULL AS
         clm_hha_tot_visit_cnt, x.clm_hospc_start_dt_id, x.bene_hospc_prd_cnt
  FROM rif.hospice x
      ) u) c
WHERE c.version_rank = 1 AND c.dml_ind <> 'DELETE' AND c.final_action = 'F'
