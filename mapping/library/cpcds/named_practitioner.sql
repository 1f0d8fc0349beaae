-- Practitioners by NPI, and whose claim names them.
SELECT CAST(c.claim_attending_provider_npi AS VARCHAR) AS npi, c.patient_account_number AS member_id FROM cpcds.claims c
UNION ALL
SELECT CAST(c.claim_referring_provider_npi AS VARCHAR), c.patient_account_number FROM cpcds.claims c
UNION ALL
SELECT CAST(c.claim_performing_provider_npi AS VARCHAR), c.patient_account_number FROM cpcds.claims c
UNION ALL
SELECT CAST(c.claim_prescribing_provider_npi AS VARCHAR), c.patient_account_number FROM cpcds.claims c
UNION ALL
SELECT CAST(c.claim_pcp_npi AS VARCHAR), c.patient_account_number FROM cpcds.claims c
UNION ALL
SELECT CAST(x.practitioner_npi AS VARCHAR), NULL FROM cpcds.practitioners x
