SELECT c.clm_uniq_id, c.clm_type_cd, unnest(CAST(c.diagnoses AS JSON[])) AS diagnosis
FROM flat.claim c
