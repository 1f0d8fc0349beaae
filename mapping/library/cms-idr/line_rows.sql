SELECT l.clm_rndrg_prvdr_npi_num, p.person_sk
FROM idr.clm_line l
LEFT JOIN idr.clm c ON c.geo_bene_sk = l.geo_bene_sk AND c.clm_dt_sgntr_sk = l.clm_dt_sgntr_sk AND c.clm_type_cd = l.clm_type_cd AND c.clm_num_sk = l.clm_num_sk
LEFT JOIN person_key p ON p.bene_sk = c.bene_sk
