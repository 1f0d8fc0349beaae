SELECT c.clm_uniq_id, c.clm_type_cd, unnest(CAST(c.procedures AS JSON[])) AS item
FROM flat.claim c
