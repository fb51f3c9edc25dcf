# test.ps1 - builds on Windows and runs every test.
#
# NOT RUN HERE: the machine on which this project is built has no Windows. It has never been run.
#
# Needs what quickstart.ps1 needs, and no more rights: what needs an administrator is skipped here,
# by name. `sluice selftest` tries that, elevated.
#   .\deploy\test.ps1 [-Jobs N]
param([int]$Jobs = [Environment]::ProcessorCount)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$root = Split-Path -Parent $PSScriptRoot
. (Join-Path $PSScriptRoot 'lib.ps1')

Test-Requirements
if (Test-Elevated) { throw 'run it without administrator rights: it builds and runs what it finds' }
Invoke-Checked cmake --preset windows-msvc -DSLUICE_WERROR=ON
Invoke-Checked cmake --build --preset windows-msvc
Invoke-Checked ctest --preset windows-msvc --no-tests=error --parallel $Jobs
Write-Output 'Everything passed.'
