SELECT d.person_sk, d.bene_dual_stus_cd, d.bene_dual_type_cd, d.geo_usps_state_cd, d.bene_mdcd_elgblty_bgn_dt,
       nullif(d.bene_mdcd_elgblty_end_dt, DATE '9999-12-31') AS bene_mdcd_elgblty_end_dt, b.bene_mbi_id
FROM (SELECT p.person_sk, x.bene_sk, x.bene_dual_stus_cd, x.bene_dual_type_cd, x.geo_usps_state_cd, x.bene_mdcd_elgblty_bgn_dt, x.bene_mdcd_elgblty_end_dt,
             row_number() OVER (PARTITION BY p.person_sk ORDER BY x.bene_mdcd_elgblty_bgn_dt DESC, x.bene_mdcd_elgblty_end_dt DESC, x.bene_dual_stus_cd, x.bene_sk) AS version
      FROM idr.bene_cmbnd_dual_mdcr x JOIN person_key p ON p.bene_sk = x.bene_sk
      WHERE x.idr_ltst_trans_flg = 'Y' AND left(trim(x.idr_trans_obslt_ts), 10) = '9999-12-31') d
LEFT JOIN (SELECT h.bene_sk, h.bene_mbi_id FROM (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
      FROM idr.bene_hstry x) h WHERE h.version = 1) b ON b.bene_sk = d.person_sk
WHERE d.version = 1
