SELECT d.c0, d.c1, d.c2 FROM (SELECT DISTINCT
(
data_source
) AS c0,
(
claim_id
) AS c1,
(
n
) AS c2,
"line"."data_source" AS k0,
"line"."claim_id" AS k1,
"line"."n" AS k2
FROM (
SELECT m.*
FROM tuva.medical_claim m
) AS "line"
WHERE "line"."data_source" IS NOT NULL
  AND "line"."claim_id" IS NOT NULL) AS d
ORDER BY d.k0 COLLATE "C", d.k1 COLLATE "C", d.k2
