SELECT h.bene_sk, h.bene_last_name, h.bene_1st_name, h.bene_midl_name, CAST(left(trim(CAST(h.bene_brth_dt AS VARCHAR)), 10) AS DATE) AS bene_brth_dt,
       h.bene_death_dt, h.bene_vrfy_death_day_sw, h.bene_sex_cd, h.bene_race_cd, h.cntct_lang_cd,
       h.bene_line_1_adr, h.bene_line_2_adr, h.bene_line_3_adr, h.bene_line_4_adr, h.bene_line_5_adr, h.bene_line_6_adr,
       h.geo_zip_plc_name, h.geo_zip5_cd, h.geo_usps_state_cd
FROM (SELECT x.*, row_number() OVER (PARTITION BY x.bene_sk ORDER BY x.idr_ltst_trans_flg DESC, left(x.idr_trans_obslt_ts, 10) DESC, x.idr_trans_efctv_ts DESC, x.bene_xref_efctv_sk) AS version
      FROM idr.bene_hstry x) h
JOIN person_key p ON p.bene_sk = h.bene_sk AND p.person_sk = h.bene_sk
WHERE h.version = 1
