# quickstart.ps1 - from a Windows machine to a broker at work in one command.
#
# NOT RUN HERE: the machine on which this project is built has no Windows. It has never been run.
#
# Needs: Visual Studio 2022 (C), CMake 3.25 or later, Ninja, and vcpkg with VCPKG_ROOT set; a
# "x64 Native Tools" PowerShell, run as administrator (a service is installed, and removed again).
#   .\deploy\quickstart.ps1
param(
    [int]$Workers = 10,
    [int]$Iterations = 2000,
    [string]$Allow = "$env:USERDOMAIN\$env:USERNAME"
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$root = Split-Path -Parent $PSScriptRoot
. (Join-Path $PSScriptRoot 'lib.ps1')

Test-Requirements
Write-Output '1. Build (CMake, vcpkg).'
Invoke-Checked cmake --preset windows-msvc
Invoke-Checked cmake --build --preset windows-msvc

$sluiced = Join-Path $root 'build\windows-msvc\bin\sluiced.exe'
$sluice = Join-Path $root 'build\windows-msvc\bin\sluice.exe'
$name = "sluice-quickstart-$PID"
$installed = $false
try {
    Write-Output "2. The broker as a service, for $Allow."
    Invoke-Checked $sluiced service install --name $name --endpoint $name --allow $Allow
    $installed = $true
    Invoke-Checked $sluiced service start --name $name
    Write-Output '3. The main job: hangtest through the broker.'
    Invoke-Checked $sluice hangtest --endpoint $name --workers $Workers --iterations $Iterations
    Write-Output '4. Stop and uninstall.'
    Invoke-Checked $sluiced service stop --name $name
}
finally {
    if ($installed) { & $sluiced service uninstall --name $name }
}
Write-Output ''
Write-Output 'The disease itself, without the broker (it may get stuck, and says which thread is):'
Write-Output "  $sluice hangtest --via direct"
Write-Output "  $sluice hangtest --via direct --scenario mixed"
