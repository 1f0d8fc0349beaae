SELECT m.facility_npi AS npi FROM medical_claim m WHERE m.facility_npi IS NOT NULL
UNION
SELECT m.billing_npi FROM medical_claim m WHERE m.billing_npi IS NOT NULL
UNION
SELECT r.dispensing_provider_npi FROM pharmacy_claim r WHERE r.dispensing_provider_npi IS NOT NULL
