SELECT p.person_sk, e.*
FROM (SELECT x.bene_sk, x.bene_mdcr_entlmt_type_cd AS part, x.bene_mdcr_enrlmt_rsn_cd, x.bene_mdcr_entlmt_stus_cd,
             CAST(left(trim(x.bene_rng_bgn_dt), 10) AS DATE) AS bgn_dt, CAST(left(trim(x.bene_rng_end_dt), 10) AS DATE) AS end_dt
      FROM idr.bene_mdcr_entlmt x
      WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') e
JOIN person_key p ON p.bene_sk = e.bene_sk
WHERE EXISTS (SELECT 1 FROM idr.bene_mdcr_stus s WHERE s.bene_sk = e.bene_sk AND s.idr_ltst_trans_flg = 'Y' AND left(trim(s.idr_trans_obslt_ts), 10) = '9999-12-31')
