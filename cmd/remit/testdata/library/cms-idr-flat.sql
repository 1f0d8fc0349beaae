SELECT c.bene_sk AS member, count(*) AS claims, sum(json_array_length(CAST(c.lineitemcomponents AS JSON))) AS lines,
       sum(coalesce(d.diagnoses, 0)) AS diagnoses, sum(coalesce(l.charge, 0)) AS charge, sum(coalesce(CAST(c.clm_pmt_amt AS DECIMAL(18, 2)), 0)) AS paid
FROM flat.claim c
LEFT JOIN (SELECT x.clm_uniq_id, x.clm_type_cd, count(DISTINCT (CASE WHEN x.e ->> 'CLM_PROD_TYPE_CD' IN ('E', '1') THEN 'E' ELSE x.e ->> 'CLM_PROD_TYPE_CD' END) || ' ' || (x.e ->> 'CLM_DGNS_CD')) AS diagnoses
           FROM (SELECT clm_uniq_id, clm_type_cd, unnest(CAST(diagnoses AS JSON[])) AS e FROM flat.claim) x
           GROUP BY x.clm_uniq_id, x.clm_type_cd) d ON d.clm_uniq_id = c.clm_uniq_id AND d.clm_type_cd = c.clm_type_cd
LEFT JOIN (SELECT x.clm_uniq_id, x.clm_type_cd, sum(CAST(nullif(x.e ->> 'CLM_LINE_SBMT_CHRG_AMT', '') AS DECIMAL(18, 2))) AS charge
           FROM (SELECT clm_uniq_id, clm_type_cd, unnest(CAST(lineitemcomponents AS JSON[])) AS e FROM flat.claim) x
           GROUP BY x.clm_uniq_id, x.clm_type_cd) l ON l.clm_uniq_id = c.clm_uniq_id AND l.clm_type_cd = c.clm_type_cd
GROUP BY c.bene_sk
