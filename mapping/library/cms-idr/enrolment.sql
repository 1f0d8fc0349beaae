SELECT k.part, e.person_sk, e.bene_cntrct_num, e.bene_pbp_num, e.bene_cvrg_type_cd, e.bene_enrlmt_emplr_sbsdy_sw,
       e.bene_enrlmt_bgn_dt, nullif(e.bene_enrlmt_end_dt, DATE '9999-12-31') AS bene_enrlmt_end_dt, b.bene_mbi_id,
       x.bene_pdp_enrlmt_mmbr_id_num, x.bene_pdp_enrlmt_grp_num, x.bene_pdp_enrlmt_prcsr_num, x.bene_pdp_enrlmt_bank_id_num,
       i.bene_lis_copmt_lvl_cd, i.bene_lis_ptd_prm_pct,
       CASE WHEN n.cntrct_num IS NOT NULL THEN e.bene_cntrct_num END AS plan_contract, CASE WHEN n.cntrct_num IS NOT NULL THEN e.bene_pbp_num END AS plan_number
FROM plan_version e
JOIN (SELECT 'C' AS part, '1' AS program UNION ALL SELECT 'C', '3' UNION ALL SELECT 'D', '2' UNION ALL SELECT 'D', '3') k ON k.program = e.bene_enrlmt_pgm_type_cd
LEFT JOIN (SELECT y.*, row_number() OVER (PARTITION BY y.bene_sk, y.bene_cntrct_num, y.bene_pbp_num, y.bene_enrlmt_bgn_dt
                                          ORDER BY y.bene_enrlmt_pdp_rx_info_bgn_dt DESC, y.bene_pdp_enrlmt_mmbr_id_num) AS version
           FROM idr.bene_mapd_enrlmt_rx y
           WHERE y.idr_ltst_trans_flg = 'Y' AND left(trim(y.idr_trans_obslt_ts), 10) = '9999-12-31') x
  ON x.bene_sk = e.bene_sk AND x.bene_cntrct_num = e.bene_cntrct_num AND x.bene_pbp_num = e.bene_pbp_num AND x.bene_enrlmt_bgn_dt = e.bene_enrlmt_bgn_dt AND x.version = 1
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.bene_rng_bgn_dt DESC, x.idr_trans_efctv_ts DESC, x.bene_lis_copmt_lvl_cd) AS version
           FROM idr.bene_lis x
           WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') i
  ON i.bene_sk = e.bene_sk AND i.version = 1
LEFT JOIN (SELECT DISTINCT cntrct_num, cntrct_pbp_num FROM idr.cntrct_pbp_num) n ON n.cntrct_num = e.bene_cntrct_num AND n.cntrct_pbp_num = e.bene_pbp_num
LEFT JOIN (SELECT h.bene_sk, h.bene_mbi_id FROM (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
      FROM idr.bene_hstry x) h WHERE h.version = 1) b ON b.bene_sk = e.person_sk
WHERE e.version = 1
