SELECT
(
npi
) AS c0
FROM (
WITH claim AS NOT MATERIALIZED (
SELECT * FROM (
SELECT * FROM m
) AS _owned WHERE _owned."Person" = ANY($1::text[])
), rx AS NOT MATERIALIZED (
SELECT * FROM (
SELECT * FROM p -- of the pharmacy
) AS _owned WHERE _owned."who" = ANY($2::int8[])
)
SELECT npi FROM claim UNION SELECT npi FROM rx
) AS "provider"
WHERE "provider"."npi" IS NOT NULL
  AND EXISTS (SELECT 1 FROM (SELECT "a"."npi" AS k0
FROM (
SELECT * FROM (
SELECT 1 AS npi
) AS _owned WHERE _owned."npi" = $3::text
) AS "a"
WHERE "a"."npi" IS NOT NULL) AS _parent WHERE _parent.k0 = "provider"."npi")
ORDER BY "provider"."npi" COLLATE "C"
-- $1: list ["1" "2"]
-- $2: list ["1" "2"]
-- $3: "1"
