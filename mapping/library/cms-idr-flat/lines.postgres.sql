SELECT c.clm_uniq_id, c.clm_type_cd, e.line
FROM claim_rows c
CROSS JOIN LATERAL json_array_elements(CAST(c.lineitemcomponents AS JSON)) AS e(line)
