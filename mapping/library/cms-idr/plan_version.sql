SELECT p.person_sk, x.bene_sk, x.cntrct_pbp_sk, x.bene_cntrct_num, x.bene_pbp_num, x.bene_cvrg_type_cd, x.bene_enrlmt_pgm_type_cd,
       x.bene_enrlmt_emplr_sbsdy_sw, x.bene_enrlmt_bgn_dt, x.bene_enrlmt_end_dt,
       row_number() OVER (PARTITION BY p.person_sk, x.bene_cntrct_num, x.bene_pbp_num, CASE WHEN x.bene_enrlmt_pgm_type_cd IN ('2', '3') THEN 1 ELSE 0 END
                          ORDER BY x.bene_enrlmt_bgn_dt, x.cntrct_pbp_sk, x.bene_sk) AS version
FROM idr.bene_mapd_enrlmt x JOIN person_key p ON p.bene_sk = x.bene_sk
WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31'
