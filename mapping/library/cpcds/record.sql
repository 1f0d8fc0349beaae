-- The medical record numbers of a member, as the claims name them.
SELECT DISTINCT c.patient_account_number AS member_id, c.medical_record_number
FROM cpcds.claims c
WHERE c.medical_record_number IS NOT NULL
