WITH person AS (
  SELECT h.bene_sk, CASE WHEN t.bene_sk IS NULL OR k.bene_xref_sk IS NOT NULL THEN h.bene_sk ELSE h.bene_xref_efctv_sk END AS person_sk
  FROM (SELECT x.bene_sk, x.bene_xref_efctv_sk,
               row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
        FROM idr.bene_hstry x) h
  LEFT JOIN (SELECT DISTINCT bene_sk FROM idr.bene_hstry) t ON t.bene_sk = h.bene_xref_efctv_sk
  LEFT JOIN (SELECT DISTINCT bene_sk, bene_xref_sk FROM idr.bene_xref WHERE bene_kill_cred_cd = '1' AND left(idr_trans_obslt_ts, 10) = '9999-12-31') k
    ON k.bene_sk = h.bene_xref_efctv_sk AND k.bene_xref_sk = h.bene_sk
  WHERE h.version = 1
)
SELECT u.bene_sk, u.bene_mbi_id, m.bene_mbi_efctv_dt, m.bene_mbi_obslt_dt
FROM (SELECT DISTINCT p.person_sk AS bene_sk, h.bene_mbi_id
      FROM idr.bene_hstry h JOIN person p ON p.bene_sk = h.bene_sk
      WHERE h.bene_mbi_id IS NOT NULL AND h.bene_mbi_id <> '~') u
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.bene_mbi_id ORDER BY x.idr_ltst_trans_flg DESC, x.idr_trans_efctv_ts DESC, x.bene_mbi_efctv_dt) AS version
           FROM idr.bene_mbi_id x) m ON m.bene_mbi_id = u.bene_mbi_id AND m.version = 1
