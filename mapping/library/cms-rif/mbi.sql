-- The Medicare Beneficiary Identifiers of a member: the current one, and those that
-- the history files and older rows hold.
SELECT h.bene_id, h.mbi, max(h.standing) AS standing, max(h.since) AS since
FROM (SELECT b.bene_id, trim(b.mbi_num) AS mbi, 'current' AS standing, b.efctv_bgn_dt AS since
      FROM (SELECT x.*, row_number() OVER (PARTITION BY x.bene_id ORDER BY x.rfrnc_yr DESC, x.delivery DESC) AS version_rank
            FROM rif.beneficiary x
            WHERE x.dml_ind <> 'DELETE') b
      WHERE b.version_rank = 1
      UNION ALL
      SELECT y.bene_id, trim(y.mbi_num), 'historic', NULL
      FROM (SELECT k.bene_id, k.mbi_num, k.dml_ind FROM rif.beneficiary_history k
            UNION ALL
            SELECT k.bene_id, k.mbi_num, k.dml_ind FROM rif.beneficiary k) y
      JOIN (SELECT z.bene_id, z.mbi_num,
                   row_number() OVER (PARTITION BY z.bene_id ORDER BY z.rfrnc_yr DESC, z.delivery DESC) AS version_rank
            FROM rif.beneficiary z
            WHERE z.dml_ind <> 'DELETE') c
        ON c.bene_id = y.bene_id AND c.version_rank = 1
      WHERE y.dml_ind <> 'DELETE' AND trim(y.mbi_num) <> coalesce(trim(c.mbi_num), '')) h
WHERE h.mbi <> ''
GROUP BY h.bene_id, h.mbi
