SELECT p.*, g.middle AS middle_name, m.member_id
FROM synthea.patients p
JOIN given g ON g.id = p.id
LEFT JOIN (SELECT t.patient, t.member_id, row_number() OVER (PARTITION BY t.patient ORDER BY t.starts DESC) AS recency
           FROM insured t WHERE t.rank = 1 AND t.member_id IS NOT NULL) m ON m.patient = p.id AND m.recency = 1
