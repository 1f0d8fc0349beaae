-- Every payer that a span or a claim names; claims of the newer layout name their own.
SELECT e.payer FROM eligibility e WHERE e.payer IS NOT NULL
UNION
SELECT m.claim_payer FROM medical_claim m WHERE m.claim_payer IS NOT NULL
UNION
SELECT r.claim_payer FROM pharmacy_claim r WHERE r.claim_payer IS NOT NULL
