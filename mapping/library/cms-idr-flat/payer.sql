SELECT 'cms' AS payer, 'Centers for Medicare & Medicaid Services' AS name, NULL AS phone
UNION
SELECT c.cntrct_pbp_name, c.cntrct_pbp_name, NULL FROM claim_rows c WHERE c.cntrct_pbp_name IS NOT NULL
UNION
SELECT v.cntrct_pbp_name, v.cntrct_pbp_name, v.cntrct_plan_cntct_tel_num FROM coverage_rows v WHERE v.cntrct_pbp_name IS NOT NULL
