SELECT v.bene_cntrct_num AS cntrct_num, v.bene_pbp_num AS cntrct_pbp_num, v.person_sk FROM plan_version v
UNION ALL
SELECT x.cntrct_num, x.cntrct_pbp_num, NULL FROM idr.cntrct_pbp_num x
