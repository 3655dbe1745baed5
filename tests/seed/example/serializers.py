from rest_framework.serializers import ModelSerializer

from example.models import MyModel, Other


class MyModelSerializer(ModelSerializer):
    class Meta:
        model = MyModel
        fields = "__all__"  # which DRF asks for today


class MyModelPrivateSerializer(ModelSerializer):
    class Meta:
        model = MyModel
        fields = "__all__"


class OtherSerializer(ModelSerializer):
    class Meta:
        model = Other
        fields = "__all__"
