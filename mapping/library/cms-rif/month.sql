-- Wide to long: the twelve monthly columns of each entitlement fact, one row a
-- month of the member's latest reference year.
SELECT b.bene_id, v.month_no,
       CASE WHEN v.month_no < 10 THEN '0' ELSE '' END || CAST(v.month_no AS VARCHAR) AS mm,
       v.mdcr_stus, v.buyin, v.hmo, v.ptc_cntrct, v.ptc_pbp, v.ptc_plan_type, v.ptd_cntrct, v.ptd_pbp, v.ptd_sgmt, v.rds, v.dual, v.cst_shr, v.fips
FROM (SELECT x.*,
             row_number() OVER (PARTITION BY x.bene_id ORDER BY x.rfrnc_yr DESC, x.delivery DESC) AS version_rank
      FROM rif.beneficiary x
      WHERE x.dml_ind <> 'DELETE') b
CROSS JOIN LATERAL (VALUES
  (1, b.mdcr_stus_jan_cd, b.mdcr_entlmt_buyin_1_ind, b.hmo_1_ind, b.ptc_cntrct_jan_id, b.ptc_pbp_jan_id, b.ptc_plan_type_jan_cd,
   b.ptd_cntrct_jan_id, b.ptd_pbp_jan_id, b.ptd_sgmt_jan_id, b.rds_jan_ind, b.meta_dual_elgbl_stus_jan_cd, b.cst_shr_grp_jan_cd, b.fips_state_cnty_jan_cd),
  (2, b.mdcr_stus_feb_cd, b.mdcr_entlmt_buyin_2_ind, b.hmo_2_ind, b.ptc_cntrct_feb_id, b.ptc_pbp_feb_id, b.ptc_plan_type_feb_cd,
   b.ptd_cntrct_feb_id, b.ptd_pbp_feb_id, b.ptd_sgmt_feb_id, b.rds_feb_ind, b.meta_dual_elgbl_stus_feb_cd, b.cst_shr_grp_feb_cd, b.fips_state_cnty_feb_cd),
  (3, b.mdcr_stus_mar_cd, b.mdcr_entlmt_buyin_3_ind, b.hmo_3_ind, b.ptc_cntrct_mar_id, b.ptc_pbp_mar_id, b.ptc_plan_type_mar_cd,
   b.ptd_cntrct_mar_id, b.ptd_pbp_mar_id, b.ptd_sgmt_mar_id, b.rds_mar_ind, b.meta_dual_elgbl_stus_mar_cd, b.cst_shr_grp_mar_cd, b.fips_state_cnty_mar_cd),
  (4, b.mdcr_stus_apr_cd, b.mdcr_entlmt_buyin_4_ind, b.hmo_4_ind, b.ptc_cntrct_apr_id, b.ptc_pbp_apr_id, b.ptc_plan_type_apr_cd,
   b.ptd_cntrct_apr_id, b.ptd_pbp_apr_id, b.ptd_sgmt_apr_id, b.rds_apr_ind, b.meta_dual_elgbl_stus_apr_cd, b.cst_shr_grp_apr_cd, b.fips_state_cnty_apr_cd),
  (5, b.mdcr_stus_may_cd, b.mdcr_entlmt_buyin_5_ind, b.hmo_5_ind, b.ptc_cntrct_may_id, b.ptc_pbp_may_id, b.ptc_plan_type_may_cd,
   b.ptd_cntrct_may_id, b.ptd_pbp_may_id, b.ptd_sgmt_may_id, b.rds_may_ind, b.meta_dual_elgbl_stus_may_cd, b.cst_shr_grp_may_cd, b.fips_state_cnty_may_cd),
  (6, b.mdcr_stus_jun_cd, b.mdcr_entlmt_buyin_6_ind, b.hmo_6_ind, b.ptc_cntrct_jun_id, b.ptc_pbp_jun_id, b.ptc_plan_type_jun_cd,
   b.ptd_cntrct_jun_id, b.ptd_pbp_jun_id, b.ptd_sgmt_jun_id, b.rds_jun_ind, b.meta_dual_elgbl_stus_jun_cd, b.cst_shr_grp_jun_cd, b.fips_state_cnty_jun_cd),
  (7, b.mdcr_stus_jul_cd, b.mdcr_entlmt_buyin_7_ind, b.hmo_7_ind, b.ptc_cntrct_jul_id, b.ptc_pbp_jul_id, b.ptc_plan_type_jul_cd,
   b.ptd_cntrct_jul_id, b.ptd_pbp_jul_id, b.ptd_sgmt_jul_id, b.rds_jul_ind, b.meta_dual_elgbl_stus_jul_cd, b.cst_shr_grp_jul_cd, b.fips_state_cnty_jul_cd),
  (8, b.mdcr_stus_aug_cd, b.mdcr_entlmt_buyin_8_ind, b.hmo_8_ind, b.ptc_cntrct_aug_id, b.ptc_pbp_aug_id, b.ptc_plan_type_aug_cd,
   b.ptd_cntrct_aug_id, b.ptd_pbp_aug_id, b.ptd_sgmt_aug_id, b.rds_aug_ind, b.meta_dual_elgbl_stus_aug_cd, b.cst_shr_grp_aug_cd, b.fips_state_cnty_aug_cd),
  (9, b.mdcr_stus_sept_cd, b.mdcr_entlmt_buyin_9_ind, b.hmo_9_ind, b.ptc_cntrct_sept_id, b.ptc_pbp_sept_id, b.ptc_plan_type_sept_cd,
   b.ptd_cntrct_sept_id, b.ptd_pbp_sept_id, b.ptd_sgmt_sept_id, b.rds_sept_ind, b.meta_dual_elgbl_stus_sept_cd, b.cst_shr_grp_sept_cd, b.fips_state_cnty_sept_cd),
  (10, b.mdcr_stus_oct_cd, b.mdcr_entlmt_buyin_10_ind, b.hmo_10_ind, b.ptc_cntrct_oct_id, b.ptc_pbp_oct_id, b.ptc_plan_type_oct_cd,
   b.ptd_cntrct_oct_id, b.ptd_pbp_oct_id, b.ptd_sgmt_oct_id, b.rds_oct_ind, b.meta_dual_elgbl_stus_oct_cd, b.cst_shr_grp_oct_cd, b.fips_state_cnty_oct_cd),
  (11, b.mdcr_stus_nov_cd, b.mdcr_entlmt_buyin_11_ind, b.hmo_11_ind, b.ptc_cntrct_nov_id, b.ptc_pbp_nov_id, b.ptc_plan_type_nov_cd,
   b.ptd_cntrct_nov_id, b.ptd_pbp_nov_id, b.ptd_sgmt_nov_id, b.rds_nov_ind, b.meta_dual_elgbl_stus_nov_cd, b.cst_shr_grp_nov_cd, b.fips_state_cnty_nov_cd),
  (12, b.mdcr_stus_dec_cd, b.mdcr_entlmt_buyin_12_ind, b.hmo_12_ind, b.ptc_cntrct_dec_id, b.ptc_pbp_dec_id, b.ptc_plan_type_dec_cd,
   b.ptd_cntrct_dec_id, b.ptd_pbp_dec_id, b.ptd_sgmt_dec_id, b.rds_dec_ind, b.meta_dual_elgbl_stus_dec_cd, b.cst_shr_grp_dec_cd, b.fips_state_cnty_dec_cd)
  ) AS v (month_no, mdcr_stus, buyin, hmo, ptc_cntrct, ptc_pbp, ptc_plan_type, ptd_cntrct, ptd_pbp, ptd_sgmt, rds, dual, cst_shr, fips)
WHERE b.version_rank = 1
