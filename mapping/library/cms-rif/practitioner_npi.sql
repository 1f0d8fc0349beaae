-- Practitioners by NPI, and the CMS specialty where a carrier line tells it. The
-- check digit of an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT p.npi, s.specialty,
       length(p.npi) = 10 AND translate(p.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(p.npi, 1, 1)) - 1 + strpos('0516273849', substr(p.npi, 3, 1)) - 1
            + strpos('0516273849', substr(p.npi, 5, 1)) - 1 + strpos('0516273849', substr(p.npi, 7, 1)) - 1 + strpos('0516273849', substr(p.npi, 9, 1)) - 1
            + strpos('0123456789', substr(p.npi, 2, 1)) - 1 + strpos('0123456789', substr(p.npi, 4, 1)) - 1 + strpos('0123456789', substr(p.npi, 6, 1)) - 1 + strpos('0123456789', substr(p.npi, 8, 1)) - 1 + strpos('0123456789', substr(p.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT trim(x.at_physn_npi) AS npi FROM inpatient_rows x
      UNION SELECT trim(x.op_physn_npi) FROM inpatient_rows x
      UNION SELECT trim(x.ot_physn_npi) FROM inpatient_rows x
      UNION SELECT trim(x.rndrng_physn_npi) FROM inpatient_rows x
      UNION SELECT trim(x.at_physn_npi) FROM snf_rows x
      UNION SELECT trim(x.op_physn_npi) FROM snf_rows x
      UNION SELECT trim(x.ot_physn_npi) FROM snf_rows x
      UNION SELECT trim(x.rndrng_physn_npi) FROM snf_rows x
      UNION SELECT trim(x.at_physn_npi) FROM outpatient_rows x
      UNION SELECT trim(x.op_physn_npi) FROM outpatient_rows x
      UNION SELECT trim(x.ot_physn_npi) FROM outpatient_rows x
      UNION SELECT trim(x.rndrng_physn_npi) FROM outpatient_rows x
      UNION SELECT trim(x.at_physn_npi) FROM hha_rows x
      UNION SELECT trim(x.rndrng_physn_npi) FROM hha_rows x
      UNION SELECT trim(x.at_physn_npi) FROM hospice_rows x
      UNION SELECT trim(x.rndrng_physn_npi) FROM hospice_rows x
      UNION SELECT trim(x.rfr_physn_npi) FROM dme_rows x
      UNION SELECT trim(x.rfr_physn_npi) FROM carrier_rows x
      UNION SELECT trim(x.prf_physn_npi) FROM carrier_rows x
      UNION SELECT trim(x.prscrbr_id) FROM pde_rows x) p
LEFT JOIN (SELECT trim(y.prf_physn_npi) AS npi, max(trim(y.prvdr_spclty)) AS specialty FROM rif.carrier y GROUP BY trim(y.prf_physn_npi)) s ON s.npi = p.npi
WHERE p.npi <> ''
