SELECT c.geo_bene_sk, c.clm_dt_sgntr_sk, c.clm_type_cd, c.clm_num_sk, r.clm_rlt_cond_sgntr_sqnc_num, r.clm_rlt_cond_cd
FROM idr.clm_rlt_cond_sgntr_mbr r
JOIN idr.clm c ON c.clm_rlt_cond_sgntr_sk = r.clm_rlt_cond_sgntr_sk
