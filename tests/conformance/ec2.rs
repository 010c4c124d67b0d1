//! What tools ask EC2 before they come to ECS and ELB, as forms over HTTP: its SDK would take longer to build than all else.
//! botocore judges the shapes, and Ansible's modules live on them.

use crate::clients::Place;
use crate::wire::call_form;

async fn ask(place: &Place, action: &str, members: &str) -> (u16, String) {
    call_form(place, "ec2", &format!("Action={action}&Version=2016-11-15{members}")).await
}

#[tokio::test]
async fn what_is_named_is_there_and_there_is_something_where_nothing_is_named() {
    let place = Place::unverified().await;
    for (action, members, shown) in [
        ("DescribeSecurityGroups", "", "<groupId>sg-00000000</groupId><groupName>default</groupName>"),
        ("DescribeSecurityGroups", "&GroupId.1=sg-1&GroupId.2=sg-2", "<groupId>sg-2</groupId>"),
        ("DescribeSecurityGroups", "&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-7", "<vpcId>vpc-7</vpcId>"),
        ("DescribeSubnets", "", "<subnetId>subnet-00000002</subnetId>"),
        ("DescribeSubnets", "&SubnetId.1=subnet-a", "<subnetId>subnet-a</subnetId><state>available</state>"),
        ("DescribeVpcs", "&Filter.1.Name=is-default&Filter.1.Value.1=true", "<vpcId>vpc-sandbox</vpcId>"),
    ] {
        let (status, answer) = ask(&place, action, members).await;
        assert!(status == 200 && answer.contains(shown), "{action}{members}: {answer}");
        assert!(answer.starts_with(&format!("<{action}Response xmlns=")) && answer.contains("<requestId>"), "{answer}");
    }
    for (action, members, code, words) in [
        ("DescribeInstances", "", "InvalidAction", "does not emulate DescribeInstances"),
        ("DescribeVpcs", "&Filter.1.Name=tag:Name&Filter.1.Value.1=prod", "InvalidParameterValue", "tag:Name"),
        ("DescribeSecurityGroups", "&GroupName.1=web", "InvalidGroup.NotFound", "does not exist in default VPC"),
    ] {
        let (status, answer) = ask(&place, action, members).await;
        let begins = format!("<Response><Errors><Error><Code>{code}</Code><Message>");
        assert!(status == 400 && answer.starts_with(&begins) && answer.contains(words), "{answer}");
    }
    place.stop().await;
}
