-- A span of the payer, and a second one where there is a secondary payer. A
-- payer named NO_INSURANCE insures nobody. "upto" ends a span where the next of
-- the patient begins, so that an instant lies in one at most.
SELECT s.patient, s.starts, s.ends, s.member_id, s.ownership, s.owner, v.rank,
       CASE WHEN v.rank = 1 THEN s.payer ELSE s.secondary_payer END AS payer,
       CASE WHEN s.next_starts < s.ends THEN s.next_starts ELSE s.ends END AS upto
FROM (SELECT t.*, lead(t.starts) OVER (PARTITION BY t.patient ORDER BY t.starts) AS next_starts FROM transition t) s
CROSS JOIN (SELECT 1 AS rank UNION ALL SELECT 2) v
JOIN synthea.payers y ON y.id = CASE WHEN v.rank = 1 THEN s.payer ELSE s.secondary_payer END
WHERE y.name <> 'NO_INSURANCE'
