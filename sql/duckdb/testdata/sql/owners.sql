SELECT
(
npi
) AS c0
FROM (
WITH claim AS NOT MATERIALIZED (
SELECT * FROM (
SELECT * FROM m
) AS _owned WHERE list_contains(CAST(from_json(CAST($1 AS JSON), '["VARCHAR"]') AS VARCHAR[]), _owned."Person")
), rx AS NOT MATERIALIZED (
SELECT * FROM (
SELECT * FROM p -- of the pharmacy
) AS _owned WHERE list_contains(CAST(from_json(CAST($2 AS JSON), '["VARCHAR"]') AS BIGINT[]), _owned."who")
)
SELECT npi FROM claim UNION SELECT npi FROM rx
) AS "provider"
WHERE "provider"."npi" IS NOT NULL
  AND EXISTS (SELECT 1 FROM (SELECT "a"."npi" AS k0
FROM (
SELECT * FROM (
SELECT 1 AS npi
) AS _owned WHERE _owned."npi" = CAST($3 AS VARCHAR)
) AS "a"
WHERE "a"."npi" IS NOT NULL) AS _parent WHERE _parent.k0 = "provider"."npi")
ORDER BY "provider"."npi"
-- $1: list ["1" "2"]
-- $2: list ["1" "2"]
-- $3: "1"
