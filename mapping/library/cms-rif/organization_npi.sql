-- Organizations by NPI: facilities, suppliers, billing providers and pharmacies. The
-- check digit of an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT o.npi,
       length(o.npi) = 10 AND translate(o.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(o.npi, 1, 1)) - 1 + strpos('0516273849', substr(o.npi, 3, 1)) - 1
            + strpos('0516273849', substr(o.npi, 5, 1)) - 1 + strpos('0516273849', substr(o.npi, 7, 1)) - 1 + strpos('0516273849', substr(o.npi, 9, 1)) - 1
            + strpos('0123456789', substr(o.npi, 2, 1)) - 1 + strpos('0123456789', substr(o.npi, 4, 1)) - 1 + strpos('0123456789', substr(o.npi, 6, 1)) - 1 + strpos('0123456789', substr(o.npi, 8, 1)) - 1 + strpos('0123456789', substr(o.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT trim(x.org_npi_num) AS npi FROM inpatient_rows x
      UNION ALL SELECT trim(x.org_npi_num) FROM snf_rows x
      UNION ALL SELECT trim(x.org_npi_num) FROM outpatient_rows x
      UNION ALL SELECT trim(x.org_npi_num) FROM hha_rows x
      UNION ALL SELECT trim(x.org_npi_num) FROM hospice_rows x
      UNION ALL SELECT trim(x.prvdr_npi) FROM dme_rows x
      UNION ALL SELECT trim(x.org_npi_num) FROM carrier_rows x
      UNION ALL SELECT trim(x.carr_clm_blg_npi_num) FROM carrier_rows x
      UNION ALL SELECT trim(x.srvc_prvdr_id) FROM pde_rows x) o
WHERE o.npi <> ''
GROUP BY o.npi
