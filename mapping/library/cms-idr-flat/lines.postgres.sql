SELECT c.clm_uniq_id, c.clm_type_cd, e.line
FROM flat.claim c
CROSS JOIN LATERAL json_array_elements(CAST(c.lineitemcomponents AS JSON)) AS e(line)
