SELECT e.clm_uniq_id, e.clm_type_cd, CAST(e.line ->> 'CLM_LINE_NUM' AS INTEGER) AS line_number, r.n, r.group_code, r.reason_code
FROM lines e
CROSS JOIN LATERAL (VALUES
  (1, e.line ->> 'CLM_1_REV_CNTR_ANSI_GRP_CD', e.line ->> 'CLM_1_REV_CNTR_ANSI_RSN_CD'),
  (2, e.line ->> 'CLM_2_REV_CNTR_ANSI_GRP_CD', e.line ->> 'CLM_2_REV_CNTR_ANSI_RSN_CD'),
  (3, e.line ->> 'CLM_3_REV_CNTR_ANSI_GRP_CD', e.line ->> 'CLM_3_REV_CNTR_ANSI_RSN_CD'),
  (4, e.line ->> 'CLM_4_REV_CNTR_ANSI_GRP_CD', e.line ->> 'CLM_4_REV_CNTR_ANSI_RSN_CD')) AS r(n, group_code, reason_code)
WHERE r.group_code IS NOT NULL AND r.reason_code IS NOT NULL
