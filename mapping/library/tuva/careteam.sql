SELECT DISTINCT m.data_source, m.claim_id, m.patient_id, m.rendering_npi AS npi
FROM medical_claim m
WHERE m.rendering_npi IS NOT NULL
