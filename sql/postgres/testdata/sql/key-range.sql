SELECT
(
n
) AS c0
FROM (
SELECT m.*
FROM tuva.medical_claim m
) AS "line"
WHERE "line"."data_source" IS NOT NULL
  AND "line"."claim_id" IS NOT NULL
  AND "line"."n" IS NOT NULL
  AND ("line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C", "line"."n") > ($1::text, $2::text, $3::int8)
  AND ("line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C") <= ($4::text, $5::text)
ORDER BY "line"."data_source" COLLATE "C", "line"."claim_id" COLLATE "C", "line"."n"
-- $1: "a"
-- $2: "b"
-- $3: "3"
-- $4: "a"
-- $5: "z"
