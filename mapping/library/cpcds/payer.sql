-- Payers, as coverages and claims name them. A claim whose payer identifier is that
-- of its coverage has the payer of the coverage.
SELECT c.payer_identifier AS payer_id FROM cpcds.coverages c WHERE c.payer_identifier IS NOT NULL
UNION
SELECT m.claim_payer_identifier FROM cpcds.claims m
WHERE m.claim_payer_identifier IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM cpcds.coverages q WHERE q.coverage_id = m.claim_payer_identifier)
