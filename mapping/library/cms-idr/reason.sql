SELECT n.geo_bene_sk, n.clm_dt_sgntr_sk, n.clm_type_cd, n.clm_num_sk, n.clm_line_num, r.n, r.group_code, r.reason_code
FROM idr.clm_line_instnl n
JOIN idr.clm_ansi_sgntr s ON s.clm_ansi_sgntr_sk = n.clm_ansi_sgntr_sk
CROSS JOIN LATERAL (VALUES
  (1, s.clm_1_rev_cntr_ansi_grp_cd, s.clm_1_rev_cntr_ansi_rsn_cd),
  (2, s.clm_2_rev_cntr_ansi_grp_cd, s.clm_2_rev_cntr_ansi_rsn_cd),
  (3, s.clm_3_rev_cntr_ansi_grp_cd, s.clm_3_rev_cntr_ansi_rsn_cd),
  (4, s.clm_4_rev_cntr_ansi_grp_cd, s.clm_4_rev_cntr_ansi_rsn_cd)) AS r(n, group_code, reason_code)
WHERE r.group_code IS NOT NULL AND r.reason_code IS NOT NULL
