SELECT m.rendering_npi AS npi FROM medical_claim m WHERE m.rendering_npi IS NOT NULL
UNION
SELECT r.prescribing_provider_npi FROM pharmacy_claim r WHERE r.prescribing_provider_npi IS NOT NULL
