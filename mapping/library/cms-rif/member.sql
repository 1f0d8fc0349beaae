-- One row a member: the latest reference year of the latest delivery. Spells of
-- coverage come from the monthly columns of all years: the last unbroken run of
-- months of each part; its end is open where it reaches the last month reported.
SELECT b.*,
       s.a_from, CASE WHEN s.a_last < s.reported THEN CAST(s.a_until AS DATE) END AS a_to,
       s.b_from, CASE WHEN s.b_last < s.reported THEN CAST(s.b_until AS DATE) END AS b_to,
       s.c_from, CASE WHEN s.c_last < s.reported THEN CAST(s.c_until AS DATE) END AS c_to,
       s.d_from, CASE WHEN s.d_last < s.reported THEN CAST(s.d_until AS DATE) END AS d_to,
       (SELECT max(p.pde_id) FROM rif.pde p WHERE p.bene_id = b.bene_id) AS any_pde
FROM (SELECT x.*,
             row_number() OVER (PARTITION BY x.bene_id ORDER BY x.rfrnc_yr DESC, x.delivery DESC) AS version_rank
      FROM rif.beneficiary x
      WHERE x.dml_ind <> 'DELETE') b
LEFT JOIN (
  -- The last run of each part: of its months, those whose number less their rank
  -- is that of the last one.
  SELECT r.bene_id, max(r.reported) AS reported,
         min(CASE WHEN r.part = 'a' THEN r.first_day END) AS a_from, max(CASE WHEN r.part = 'a' THEN r.month_at END) AS a_last, max(CASE WHEN r.part = 'a' THEN r.last_day END) AS a_until,
         min(CASE WHEN r.part = 'b' THEN r.first_day END) AS b_from, max(CASE WHEN r.part = 'b' THEN r.month_at END) AS b_last, max(CASE WHEN r.part = 'b' THEN r.last_day END) AS b_until,
         min(CASE WHEN r.part = 'c' THEN r.first_day END) AS c_from, max(CASE WHEN r.part = 'c' THEN r.month_at END) AS c_last, max(CASE WHEN r.part = 'c' THEN r.last_day END) AS c_until,
         min(CASE WHEN r.part = 'd' THEN r.first_day END) AS d_from, max(CASE WHEN r.part = 'd' THEN r.month_at END) AS d_last, max(CASE WHEN r.part = 'd' THEN r.last_day END) AS d_until
  FROM (SELECT i.*, max(i.island) OVER (PARTITION BY i.bene_id, i.part) AS last_island
        FROM (SELECT m.bene_id, m.part, m.month_at, m.reported,
                     m.month_at - row_number() OVER (PARTITION BY m.bene_id, m.part ORDER BY m.month_at) AS island,
                     m.first_day,
                     CAST(m.first_day AS TIMESTAMP) + INTERVAL '1' MONTH - INTERVAL '1' DAY AS last_day
              FROM (SELECT DISTINCT w.bene_id, p.part, w.month_at, w.reported, w.first_day
                    FROM (SELECT b.bene_id, v.buyin, v.ptc_cntrct, v.ptd_cntrct,
                                 CAST(b.rfrnc_yr AS INTEGER) * 12 + v.month_no AS month_at,
                                 max(CAST(b.rfrnc_yr AS INTEGER) * 12 + 12) OVER (PARTITION BY b.bene_id) AS reported,
                                 CAST(b.rfrnc_yr || '-' || CAST(v.month_no AS VARCHAR) || '-01' AS DATE) AS first_day
                          FROM (SELECT y.*, row_number() OVER (PARTITION BY y.bene_id, y.rfrnc_yr ORDER BY y.delivery DESC) AS year_rank
                                FROM rif.beneficiary y
                                WHERE y.dml_ind <> 'DELETE' AND length(y.rfrnc_yr) = 4) b
                          CROSS JOIN LATERAL (VALUES
  (1, b.mdcr_entlmt_buyin_1_ind, b.ptc_cntrct_jan_id, b.ptd_cntrct_jan_id),
  (2, b.mdcr_entlmt_buyin_2_ind, b.ptc_cntrct_feb_id, b.ptd_cntrct_feb_id),
  (3, b.mdcr_entlmt_buyin_3_ind, b.ptc_cntrct_mar_id, b.ptd_cntrct_mar_id),
  (4, b.mdcr_entlmt_buyin_4_ind, b.ptc_cntrct_apr_id, b.ptd_cntrct_apr_id),
  (5, b.mdcr_entlmt_buyin_5_ind, b.ptc_cntrct_may_id, b.ptd_cntrct_may_id),
  (6, b.mdcr_entlmt_buyin_6_ind, b.ptc_cntrct_jun_id, b.ptd_cntrct_jun_id),
  (7, b.mdcr_entlmt_buyin_7_ind, b.ptc_cntrct_jul_id, b.ptd_cntrct_jul_id),
  (8, b.mdcr_entlmt_buyin_8_ind, b.ptc_cntrct_aug_id, b.ptd_cntrct_aug_id),
  (9, b.mdcr_entlmt_buyin_9_ind, b.ptc_cntrct_sept_id, b.ptd_cntrct_sept_id),
  (10, b.mdcr_entlmt_buyin_10_ind, b.ptc_cntrct_oct_id, b.ptd_cntrct_oct_id),
  (11, b.mdcr_entlmt_buyin_11_ind, b.ptc_cntrct_nov_id, b.ptd_cntrct_nov_id),
  (12, b.mdcr_entlmt_buyin_12_ind, b.ptc_cntrct_dec_id, b.ptd_cntrct_dec_id)
                          ) AS v (month_no, buyin, ptc_cntrct, ptd_cntrct)
                          WHERE b.year_rank = 1) w
                    JOIN (VALUES ('a'), ('b'), ('c'), ('d')) AS p (part)
                      ON (p.part = 'a' AND w.buyin IN ('1', '3', 'A', 'C'))
                      OR (p.part = 'b' AND w.buyin IN ('2', '3', 'B', 'C'))
                      OR (p.part = 'c' AND length(w.ptc_cntrct) = 5)
                      OR (p.part = 'd' AND length(w.ptd_cntrct) = 5)) m) i) r
  WHERE r.island = r.last_island
  GROUP BY r.bene_id) s
  ON s.bene_id = b.bene_id
WHERE b.version_rank = 1
