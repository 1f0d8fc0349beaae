-- Places of service by NPI, and whose claim names them.
SELECT CAST(c.claim_site_of_service_npi AS VARCHAR) AS npi, c.patient_account_number AS member_id FROM cpcds.claims c
UNION ALL
SELECT CAST(o.id AS VARCHAR), NULL FROM cpcds.organization_providers o
