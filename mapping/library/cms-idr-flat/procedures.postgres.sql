SELECT c.clm_uniq_id, c.clm_type_cd, e.item
FROM flat.claim c
CROSS JOIN LATERAL json_array_elements(CAST(c.procedures AS JSON)) AS e(item)
