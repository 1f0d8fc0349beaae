SELECT u.bene_sk, u.bene_mbi_id, m.bene_mbi_efctv_dt, m.bene_mbi_obslt_dt
FROM (SELECT DISTINCT p.person_sk AS bene_sk, h.bene_mbi_id
      FROM idr.bene_hstry h JOIN person_key p ON p.bene_sk = h.bene_sk
      WHERE h.bene_mbi_id IS NOT NULL AND h.bene_mbi_id <> '~') u
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_mbi_id ORDER BY x.idr_ltst_trans_flg DESC, x.idr_trans_efctv_ts DESC, x.bene_mbi_efctv_dt) AS version
           FROM idr.bene_mbi_id x) m ON m.bene_mbi_id = u.bene_mbi_id AND m.version = 1
