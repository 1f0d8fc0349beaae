SELECT n.cntrct_num, n.cntrct_pbp_num, n.cntrct_pbp_name,
       CASE WHEN length(t.free_num) = 10 THEN substr(t.free_num, 1, 3) || '-' || substr(t.free_num, 4, 3) || '-' || substr(t.free_num, 7, 4) || coalesce(' ext. ' || t.free_ext, '') END AS free_phone,
       CASE WHEN length(t.tel_num) = 10 THEN substr(t.tel_num, 1, 3) || '-' || substr(t.tel_num, 4, 3) || '-' || substr(t.tel_num, 7, 4) || coalesce(' ext. ' || t.tel_ext, '') END AS phone
FROM (SELECT x.cntrct_pbp_sk, x.cntrct_num, x.cntrct_pbp_num, x.cntrct_pbp_name,
             row_number() OVER (PARTITION BY x.cntrct_num, x.cntrct_pbp_num ORDER BY x.cntrct_pbp_sk_obslt_dt DESC, x.cntrct_pbp_sk_efctv_dt DESC, x.cntrct_pbp_sk DESC) AS version
      FROM idr.cntrct_pbp_num x) n
LEFT JOIN (SELECT x.cntrct_pbp_sk, x.cntrct_plan_cntct_free_num AS free_num, x.cntrct_plan_free_extnsn_num AS free_ext,
                  x.cntrct_plan_cntct_tel_num AS tel_num, x.cntrct_plan_cntct_extnsn_num AS tel_ext,
                  row_number() OVER (PARTITION BY x.cntrct_pbp_sk ORDER BY x.cntrct_plan_cntct_obslt_dt DESC, x.cntrct_pbp_bgn_dt DESC, x.cntrct_plan_cntct_type_cd) AS version
           FROM idr.cntrct_pbp_cntct x) t ON t.cntrct_pbp_sk = n.cntrct_pbp_sk AND t.version = 1
WHERE n.version = 1
  AND EXISTS (SELECT 1 FROM named_plan m WHERE m.cntrct_num = n.cntrct_num AND m.cntrct_pbp_num = n.cntrct_pbp_num)
