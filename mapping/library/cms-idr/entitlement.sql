SELECT e.person_sk, e.part, e.bgn_dt, e.end_dt, e.bene_mdcr_enrlmt_rsn_cd, e.bene_mdcr_entlmt_stus_cd,
       t.bene_buyin_cd, s.bene_mdcr_stus_cd, r.bene_mdcr_entlmt_rsn_cd, b.bene_mbi_id
FROM (SELECT y.*, row_number() OVER (PARTITION BY y.person_sk, y.part ORDER BY y.bgn_dt, y.end_dt DESC, y.bene_sk) AS version FROM entitled y) e
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk, x.bene_tp_type_cd ORDER BY left(trim(x.bene_rng_bgn_dt), 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_buyin_cd) AS version
           FROM idr.bene_tp x
           WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') t
  ON t.bene_sk = e.bene_sk AND t.bene_tp_type_cd = e.part AND t.version = 1
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY left(trim(x.mdcr_stus_bgn_dt), 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_mdcr_stus_cd) AS version
           FROM idr.bene_mdcr_stus x
           WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') s
  ON s.bene_sk = e.bene_sk AND s.version = 1
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY left(trim(x.bene_rng_bgn_dt), 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_mdcr_entlmt_rsn_cd) AS version
           FROM idr.bene_mdcr_entlmt_rsn x
           WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') r
  ON r.bene_sk = e.bene_sk AND r.version = 1
LEFT JOIN (SELECT h.bene_sk, h.bene_mbi_id FROM (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
      FROM idr.bene_hstry x) h WHERE h.version = 1) b ON b.bene_sk = e.person_sk
WHERE e.version = 1
