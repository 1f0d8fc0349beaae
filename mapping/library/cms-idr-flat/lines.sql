SELECT c.clm_uniq_id, c.clm_type_cd, unnest(CAST(c.lineitemcomponents AS JSON[])) AS line
FROM claim_rows c
