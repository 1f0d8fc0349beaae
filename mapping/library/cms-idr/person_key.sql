SELECT h.bene_sk, CASE WHEN t.bene_sk IS NULL OR k.bene_xref_sk IS NOT NULL THEN h.bene_sk ELSE h.bene_xref_efctv_sk END AS person_sk
FROM (SELECT x.bene_sk, x.bene_xref_efctv_sk,
             row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
      FROM idr.bene_hstry x) h
LEFT JOIN (SELECT DISTINCT bene_sk FROM idr.bene_hstry) t ON t.bene_sk = h.bene_xref_efctv_sk
LEFT JOIN (SELECT DISTINCT bene_sk, bene_xref_sk FROM idr.bene_xref WHERE bene_kill_cred_cd = '1' AND left(idr_trans_obslt_ts, 10) = '9999-12-31') k
  ON k.bene_sk = h.bene_xref_efctv_sk AND k.bene_xref_sk = h.bene_sk
WHERE h.version = 1
