SELECT c.clm_uniq_id, c.clm_type_cd, e.diagnosis
FROM flat.claim c
CROSS JOIN LATERAL json_array_elements(CAST(c.diagnoses AS JSON)) AS e(diagnosis)
