-- Payers, as coverages and claims name them. A claim whose payer identifier is that
-- of its coverage has the payer of the coverage.
SELECT c.payer_identifier AS payer_id FROM coverage_rows c WHERE c.payer_identifier IS NOT NULL
UNION
SELECT CASE WHEN q.coverage_id IS NULL THEN m.claim_payer_identifier ELSE q.payer_identifier END
FROM claim_rows m
LEFT JOIN cpcds.coverages q ON q.coverage_id = m.claim_payer_identifier
WHERE CASE WHEN q.coverage_id IS NULL THEN m.claim_payer_identifier ELSE q.payer_identifier END IS NOT NULL
